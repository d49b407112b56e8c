"""An identity provider that we did not write: pysaml2, which signs and encrypts with the program xmlsec1.

Makes a response for each way of signing and each hash that is asked for, in one process, and prints a
JSON array of {"sign", "hash", "document"}; a document is the XML itself. What it says comes as a JSON
object on standard input: issuer, acs, audience, name_id, attributes (a list of name and values) and,
where the response answers a request, in_response_to.
"""

import argparse
import copy
import json
import logging
import sys

from saml2 import entity, saml, server, sigver
from saml2.config import IdPConfig

MORE = "http://www.w3.org/2001/04/xmldsig-more#"
DIGESTS = {
    "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
    "sha384": "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "sha512": "http://www.w3.org/2001/04/xmlenc#sha512",
}
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
# The gateway, as far as pysaml2 asks for it: without metadata it makes no response.
SERVICE = """<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{audience}">
<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><AssertionConsumerService
 Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{acs}" index="0"/></SPSSODescriptor>
</EntityDescriptor>"""


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", required=True, help="PEM file of the signing key")
    parser.add_argument("--certificate", required=True, help="PEM file of its certificate")
    parser.add_argument("--sign", default="assertion,response,both,none")
    parser.add_argument("--hash", default="sha256,sha384,sha512")
    parser.add_argument("--encrypt", metavar="CERT", help="PEM file to encrypt the assertion for")
    parser.add_argument("--cipher", default="aes256-gcm", choices=["aes128-gcm", "aes256-gcm"])
    return parser.parse_args()


def provider(wish, given):
    config = IdPConfig()
    config.load(
        {
            "entityid": wish["issuer"],
            "key_file": given.key,
            "cert_file": given.certificate,
            "xmlsec_binary": sigver.get_xmlsec_binary(["/usr/bin", "/usr/local/bin"]),
            "metadata": {"inline": [SERVICE.format(audience=wish["audience"], acs=wish["acs"])]},
            "service": {
                "idp": {
                    "endpoints": {"single_sign_on_service": [(wish["issuer"] + "/sso", entity.BINDING_HTTP_POST)]},
                    "policy": {"default": {"lifetime": {"minutes": 5}, "name_form": URI}},
                }
            },
        }
    )
    return server.Server(config=config)


def encrypt_by(cipher):
    """pysaml2 encrypts by 3DES; the cipher is a default of two functions, to be set nowhere else."""
    sigver.pre_encryption_part.__kwdefaults__["msg_enc"] = "http://www.w3.org/2009/xmlenc11#" + cipher
    bits = "aes-" + cipher[3:6]
    for function in (sigver.SecurityContext.encrypt_assertion, sigver.CryptoBackendXmlSec1.encrypt_assertion):
        function.__defaults__ = tuple(bits if value == "des-192" else value for value in function.__defaults__)


def response(idp, wish, given, sign, digest):
    if given.encrypt:
        certificate = "".join(open(given.encrypt).read().splitlines()[1:-1])
        encryption = {"encrypt_assertion": True, "encrypt_cert_assertion": certificate}
    else:
        encryption = {}
    made = idp.create_authn_response(
        identity=dict(copy.deepcopy(wish["attributes"])),
        in_response_to=wish.get("in_response_to"),
        destination=wish["acs"],
        sp_entity_id=wish["audience"],
        name_id=saml.NameID(text=wish["name_id"], format=saml.NAMEID_FORMAT_PERSISTENT),
        authn={"class_ref": PASSWORD},
        sign_response=sign in ("response", "both"),
        sign_assertion=sign in ("assertion", "both"),
        sign_alg=MORE + "rsa-" + digest,
        digest_alg=DIGESTS[digest],
        **encryption,
    )
    return str(made)


def main():
    logging.disable(logging.CRITICAL)
    given = options()
    wish = json.load(sys.stdin)
    encrypt_by(given.cipher)
    idp = provider(wish, given)
    made = []
    for sign in given.sign.split(","):
        for digest in given.hash.split(","):
            document = response(idp, wish, given, sign, digest)
            made.append({"sign": sign, "hash": digest, "document": document})
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
