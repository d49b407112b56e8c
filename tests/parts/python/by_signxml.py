"""A second signer that we did not write: signxml, which canonicalises with lxml and signs with cryptography.

Makes a response for each way of signing and each hash that is asked for, in one process, and prints a
JSON array of {"sign", "hash", "document"}, from the same JSON object on standard input as by_pysaml2.py.

The documents are unlike pysaml2's wherever SAML leaves a choice: indented, SAML's namespaces without a
prefix, namespaces declared where they are used, fractions of a second, KeyValue beside the certificate,
and ECDSA where the key is of that kind.
"""

import argparse
import datetime
import json
import secrets
import sys

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree
from signxml import CanonicalizationMethod, XMLSigner

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
XS = "http://www.w3.org/2001/XMLSchema"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True, help="PEM file of the signing key")
    parser.add_argument("--certificate", required=True, help="PEM file of its certificate")
    parser.add_argument("--sign", default="assertion,response,both,none")
    parser.add_argument("--hash", default="sha256,sha384,sha512")
    return parser.parse_args()


def moment(**later):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**later)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def child(parent, name, text=None, **attributes):
    """A child in the parent's own namespace; attributes that are None stay out."""
    space = etree.QName(parent).namespace
    given = {key: value for key, value in attributes.items() if value is not None}
    element = etree.SubElement(parent, etree.QName(space, name), given)
    element.text = text
    return element


def assertion(wish):
    root = etree.Element(etree.QName(ASSERTION, "Assertion"), nsmap={None: ASSERTION})
    root.attrib.update({"Version": "2.0", "ID": "_" + secrets.token_hex(16), "IssueInstant": moment()})
    child(root, "Issuer", wish["issuer"])
    subject = child(root, "Subject")
    child(subject, "NameID", wish["name_id"], Format=PERSISTENT)
    confirmation = child(subject, "SubjectConfirmation", Method=BEARER)
    child(
        confirmation,
        "SubjectConfirmationData",
        NotOnOrAfter=moment(minutes=5),
        Recipient=wish["acs"],
        InResponseTo=wish.get("in_response_to"),
    )
    conditions = child(root, "Conditions", NotBefore=moment(seconds=-30), NotOnOrAfter=moment(minutes=5))
    child(child(conditions, "AudienceRestriction"), "Audience", wish["audience"])
    statement = child(root, "AuthnStatement", AuthnInstant=moment(), SessionNotOnOrAfter=moment(hours=8))
    child(child(statement, "AuthnContext"), "AuthnContextClassRef", PASSWORD)
    attributes = child(root, "AttributeStatement")
    for name, values in wish["attributes"]:
        attribute = child(attributes, "Attribute", Name=name)
        for value in values:
            typed = etree.QName(ASSERTION, "AttributeValue")
            element = etree.SubElement(attribute, typed, nsmap={"xsi": XSI, "xs": XS})
            element.set(etree.QName(XSI, "type"), "xs:string")
            element.text = value
    return root


def response(wish):
    root = etree.Element(etree.QName(PROTOCOL, "Response"), nsmap={None: PROTOCOL})
    for name, value in {
        "ID": "_" + secrets.token_hex(16),
        "Version": "2.0",
        "IssueInstant": moment(),
        "Destination": wish["acs"],
        "InResponseTo": wish.get("in_response_to"),
    }.items():
        if value is not None:
            root.set(name, value)
    issuer = etree.SubElement(root, etree.QName(ASSERTION, "Issuer"), nsmap={None: ASSERTION})
    issuer.text = wish["issuer"]
    child(child(root, "Status"), "StatusCode", Value=SUCCESS)
    root.append(assertion(wish))
    etree.indent(root, "\t")
    return root


def signed(root, element, digest, key, certificate):
    place = etree.Element(etree.QName(SIGNATURE, "Signature"), nsmap={"ds": SIGNATURE}, Id="placeholder")
    element.insert(1, place)
    kind = "ecdsa" if isinstance(key, ec.EllipticCurvePrivateKey) else "rsa"
    signer = XMLSigner(
        signature_algorithm=f"{kind}-{digest}",
        digest_algorithm=digest,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    what = "#" + element.get("ID")
    return signer.sign(
        root, key=key, cert=certificate, reference_uri=what, id_attribute="ID", always_add_key_value=True
    )


def main():
    given = options()
    wish = json.load(sys.stdin)
    with open(given.key, "rb") as key, open(given.certificate) as certificate:
        key, certificate = load_pem_private_key(key.read(), None), certificate.read()
    made = []
    for sign in given.sign.split(","):
        for digest in given.hash.split(","):
            root = response(wish)
            if sign in ("assertion", "both"):
                root = signed(root, root.find(f"{{{ASSERTION}}}Assertion"), digest, key, certificate)
            if sign in ("response", "both"):
                root = signed(root, root, digest, key, certificate)
            document = etree.tostring(root, encoding="unicode")
            made.append({"sign": sign, "hash": digest, "document": document})
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
