//! Genuinely signed responses with as many attribute values as wanted, in the shapes that providers send.
//!
//! Shared by the test that they are accepted and the bench that they are accepted in linear time. Texts
//! are written in their canonical form, so that a hash and an RSA signature are all it takes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

const KEY: &[u8] = include_bytes!("../../../fixtures/saml/idp.key");
/// What AWS takes as a `SAMLAssertion`, in characters of base64.
pub(crate) const MOST_ENCODED: usize = 100_000;
/// When the responses are good.
pub(crate) const NOW: &str = "2026-01-15T12:00:00Z";
const ATTRIBUTES: &str = "https://aws.amazon.com/SAML/Attributes";
const ACCOUNT: &str = "arn:aws:iam::123456789012";
/// Okta's second transform: `xs` is signed where it is declared, though only a value uses it.
const PREFIXES: &str = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\">\
    <ec:InclusiveNamespaces xmlns:ec=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs\">\
    </ec:InclusiveNamespaces></ds:Transform>";

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An element and its text.
    Bare,
    /// As Okta writes it: `xmlns:xs` and `xmlns:xsi` declared anew on every value, for its `xsi:type`.
    Okta,
    /// An element without text, under the shortest name: the most elements that there can be.
    Empty,
    /// Role values, each another role, each with its provider.
    Roles,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Bare, Self::Okta, Self::Empty, Self::Roles];

    /// The value `number`, as it is sent and as it is hashed.
    fn value(self, number: usize) -> (String, String) {
        let same = |text: String| (text.clone(), text);
        match self {
            Self::Bare => same(format!("<AttributeValue>g{number:04}</AttributeValue>")),
            Self::Okta => same(format!(
                "<AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                 xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:string\">\
                 g{number:04}</AttributeValue>"
            )),
            Self::Empty => (
                "<AttributeValue/>".to_owned(),
                "<AttributeValue></AttributeValue>".to_owned(),
            ),
            Self::Roles => same(format!(
                "<AttributeValue>{ACCOUNT}:role/r{number:04},{ACCOUNT}:saml-provider/P</AttributeValue>"
            )),
        }
    }

    /// The attribute that holds the values.
    pub(crate) fn attribute(self) -> String {
        match self {
            Self::Roles => format!("{ATTRIBUTES}/Role"),
            _ => "groups".to_owned(),
        }
    }

    /// How many values fit into what AWS takes.
    pub(crate) fn most(self) -> usize {
        let free = MOST_ENCODED / 4 * 3 - response(self, 0).len();
        free / self.value(0).0.len()
    }
}

/// A response with `values` values, its assertion signed.
pub(crate) fn response(shape: Shape, values: usize) -> String {
    let (mut sent, mut hashed) = (String::new(), String::new());
    for number in 0..values {
        let (one, canonical) = shape.value(number);
        sent.push_str(&one);
        hashed.push_str(&canonical);
    }
    let digest = openssl::sha::sha256(assertion(shape, "", &hashed).as_bytes());
    let signature = signature(&STANDARD.encode(digest));
    format!(
        "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_r0\" \
         IssueInstant=\"2026-01-15T11:59:30Z\" Version=\"2.0\"><samlp:Status><samlp:StatusCode \
         Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>{}</samlp:Response>",
        assertion(shape, &signature, &sent)
    )
}

fn assertion(shape: Shape, signature: &str, values: &str) -> String {
    let attribute = shape.attribute();
    format!(
        "<Assertion xmlns=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_a1\" \
         IssueInstant=\"2026-01-15T11:59:30Z\" Version=\"2.0\">\
         <Issuer>https://idp.example.org/saml</Issuer>{signature}<Subject><NameID>alice</NameID>\
         <SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><SubjectConfirmationData \
         NotOnOrAfter=\"2026-01-15T12:05:00Z\" Recipient=\"https://gate.example.org/saml/acs\">\
         </SubjectConfirmationData></SubjectConfirmation></Subject>\
         <Conditions NotOnOrAfter=\"2026-01-15T12:06:00Z\"><AudienceRestriction>\
         <Audience>urn:amazon:webservices</Audience></AudienceRestriction></Conditions>\
         <AuthnStatement AuthnInstant=\"2026-01-15T11:59:30Z\"></AuthnStatement><AttributeStatement>\
         <Attribute Name=\"{ATTRIBUTES}/RoleSessionName\"><AttributeValue>alice@example.org</AttributeValue>\
         </Attribute><Attribute Name=\"{attribute}\">{values}</Attribute></AttributeStatement></Assertion>"
    )
}

fn signature(digest: &str) -> String {
    let algorithm = |name: &str, address: &str| {
        format!("<ds:{name} Algorithm=\"http://www.w3.org/{address}\"></ds:{name}>")
    };
    let info = format!(
        "{}{}<ds:Reference URI=\"#_a1\"><ds:Transforms>{}{PREFIXES}</ds:Transforms>{}\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
        algorithm("CanonicalizationMethod", "2001/10/xml-exc-c14n#"),
        algorithm("SignatureMethod", "2001/04/xmldsig-more#rsa-sha256"),
        algorithm("Transform", "2000/09/xmldsig#enveloped-signature"),
        algorithm("DigestMethod", "2001/04/xmlenc#sha256"),
    );
    let space = "xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"";
    let key = PKey::private_key_from_pem(KEY).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let value = signer
        .sign_oneshot_to_vec(format!("<ds:SignedInfo {space}>{info}").as_bytes())
        .unwrap();
    format!(
        "<ds:Signature {space}><ds:SignedInfo>{info}<ds:SignatureValue>{}</ds:SignatureValue></ds:Signature>",
        STANDARD.encode(value)
    )
}
