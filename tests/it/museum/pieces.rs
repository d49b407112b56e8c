//! The museum's documents: one good response, and what differs from it in one point each.

mod attributes;
mod claims;
mod conditions;
mod encrypted_contents;
mod encryption;
mod keys;
mod published;
mod raw;
mod signatures;
mod signed_infos;
mod times;
mod wrapping;
mod wrapping_sets;
mod xml;

use std::path::Path;

use chrono::{DateTime, Utc};

use super::Exhibit;
use super::forge::{self, Key, RSA_SHA256, digest, insert, key_info, sign, signature, signed_info};

pub(super) const IDP: &str = "https://idp.example.org/saml";
pub(super) const ACS: &str = "https://gate.example.org/saml/acs";
pub(super) const AUDIENCE: &str = "urn:amazon:webservices";
const NOW: &str = "2026-01-15T12:00:00Z";
pub(super) const GOOD: &str = "valid/okta-like.xml";
const TYPED: &str = r#"<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">"#;
const ROLE_A: &str =
    "arn:aws:iam::123456789012:role/data-scientist,arn:aws:iam::123456789012:saml-provider/Okta";
const ROLE_B: &str =
    "arn:aws:iam::123456789012:saml-provider/Okta, arn:aws:iam::123456789012:role/team/reader";
const DS: &str = "xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"";
const STATUS: &str = r#"<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>"#;

/// One attribute of AWS's, with typed values as Okta writes them.
fn attribute(name: &str, values: &[&str]) -> String {
    let values: String = values
        .iter()
        .map(|value| format!("{TYPED}{value}</saml:AttributeValue>"))
        .collect();
    let name = match name.split_once(':') {
        Some(_) => name.to_owned(),
        None => format!("https://aws.amazon.com/SAML/Attributes/{name}"),
    };
    format!(
        r#"<saml:Attribute Name="{name}" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri">{values}</saml:Attribute>"#
    )
}

/// The good assertion, unsigned, in canonical form.
fn assertion() -> String {
    format!(
        r#"<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a1" IssueInstant="2026-01-15T11:59:30Z" Version="2.0"><saml:Issuer>{IDP}</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">alice</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="2026-01-15T12:05:00Z" Recipient="{ACS}"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="2026-01-15T11:58:30Z" NotOnOrAfter="2026-01-15T12:06:00Z"><saml:AudienceRestriction><saml:Audience>{AUDIENCE}</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="2026-01-15T11:59:30Z" SessionIndex="_s1" SessionNotOnOrAfter="2026-01-15T20:00:00Z"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>{}{}{}</saml:AttributeStatement></saml:Assertion>"#,
        attribute("Role", &[ROLE_A, ROLE_B]),
        attribute("RoleSessionName", &["alice@example.org"]),
        attribute("SessionDuration", &["7200"]),
    )
}

/// A Response around `inner`, unsigned, in canonical form.
fn response(inner: &str) -> String {
    format!(
        r#"<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Destination="{ACS}" ID="_r0" IssueInstant="2026-01-15T11:59:30Z" Version="2.0"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">{IDP}</saml:Issuer>{STATUS}{inner}</samlp:Response>"#
    )
}

/// The good response, its assertion signed by `key` with `method`.
pub(super) fn signed_by(key: &Key, method: &str) -> String {
    let plain = assertion();
    let info = signed_info("_a1", &digest(&plain), method);
    response(&insert(
        &plain,
        &signature(&info, key, &key_info(&key.certificate)),
    ))
}

/// Where a shape was published, by the beginning of its file's name.
const SOURCES: &[(&str, &str)] = &[
    ("xsw-3-signed", "CVE-2025-47949"),
    ("xsw-14-unsigned-before", "CVE-2022-41912"),
    ("xsw-18-forged-under", "CVE-2025-54419"),
    (
        "xsw-",
        "On Breaking SAML (Somorovsky et al., USENIX Security 2012)",
    ),
    (
        "sig-02-removed",
        "On Breaking SAML (Somorovsky et al., USENIX Security 2012)",
    ),
    ("sig-10-hmac", "CVE-2009-0217"),
    ("ref-01-two", "CVE-2025-29774"),
    ("ref-02-comment", "CVE-2025-29775"),
    ("ref-09-xslt", "CVE-2022-47966"),
    ("ref-14-namespace", "CVE-2025-66568"),
    ("xml-01-comment-in-name-id", "CVE-2017-11427"),
    ("cond-06-only-outside", "node-saml issue 433"),
];

/// Every exhibit with its document.
pub(super) fn all(folder: &Path) -> Vec<(Exhibit, Vec<u8>)> {
    // libxml2 must be up before two tests use it at once; while the fixtures do not exist it cannot be.
    drop(rolegate::saml::prepare());
    let mut maker = Maker {
        key: Key::load(folder, "idp"),
        other: Key::load(folder, "other"),
        made: Vec::new(),
    };
    maker.good_ones();
    maker.signatures();
    maker.wrapping();
    maker.signed_infos();
    maker.xml();
    maker.conditions();
    maker.times();
    maker.attributes();
    maker.encryption();
    maker.keys();
    maker.wrapping_sets();
    maker.published();
    maker.raw();
    maker.claims();
    maker.credit();
    maker.made
}

/// Writes documents, manifest and metadata.
pub(super) fn write_all(folder: &Path) {
    for hall in ["valid", "attacks"] {
        drop(std::fs::remove_dir_all(folder.join(hall)));
        std::fs::create_dir_all(folder.join(hall)).unwrap();
    }
    let made = all(folder);
    for (exhibit, document) in &made {
        std::fs::write(folder.join(&exhibit.file), document).unwrap();
    }
    let exhibits: Vec<&Exhibit> = made.iter().map(|(exhibit, _)| exhibit).collect();
    let text = serde_json::to_string_pretty(&exhibits).unwrap();
    std::fs::write(folder.join("manifest.json"), text + "\n").unwrap();
    for (file, keys) in [
        ("idp.xml", &["idp"][..]),
        ("idp-two-keys.xml", &["other", "idp"]),
        ("idp-ec.xml", &["ec"]),
        ("idp-expired.xml", &["expired"]),
        ("idp-weak.xml", &["weak"]),
    ] {
        std::fs::write(folder.join(file), idp_metadata(folder, keys)).unwrap();
    }
}

fn idp_metadata(folder: &Path, keys: &[&str]) -> String {
    let keys: String = keys
        .iter()
        .map(|key| {
            let info = key_info(&forge::certificate(folder, key)).replacen(
                "<ds:KeyInfo>",
                &format!("<ds:KeyInfo {DS}>"),
                1,
            );
            format!("    <md:KeyDescriptor use=\"signing\">{info}</md:KeyDescriptor>\n")
        })
        .collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- The identity provider of the tests. Its key is public: trust it nowhere. -->
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{IDP}">
  <md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
{keys}    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://idp.example.org/sso/post"/>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.org/sso?tenant=1"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
"#
    )
}

struct Maker {
    key: Key,
    other: Key,
    made: Vec<(Exhibit, Vec<u8>)>,
}

impl Maker {
    fn show(
        &mut self,
        file: &str,
        id: &str,
        expect: &str,
        document: impl AsRef<[u8]>,
    ) -> &mut Exhibit {
        let twin = (expect != "accepted").then(|| GOOD.to_owned());
        let hall = if expect == "accepted" {
            "valid"
        } else {
            "attacks"
        };
        let exhibit = Exhibit {
            file: format!("{hall}/{file}.xml"),
            id: id.to_owned(),
            expect: expect.to_owned(),
            twin,
            at: NOW.parse::<DateTime<Utc>>().unwrap(),
            metadata: "idp.xml".to_owned(),
            require: "assertion".to_owned(),
            request: None,
            strict: false,
            user_domains: Vec::new(),
            decryption: Vec::new(),
            source: None,
        };
        let known = self
            .made
            .iter()
            .any(|(known, _)| known.file == exhibit.file);
        assert!(!known, "{} is shown twice", exhibit.file);
        self.made.push((exhibit, document.as_ref().to_vec()));
        &mut self.made.last_mut().unwrap().0
    }

    /// Names the source of what has none yet and was published.
    fn credit(&mut self) {
        for (start, source) in SOURCES {
            let mut credited = 0;
            for (exhibit, _) in &mut self.made {
                let name = exhibit.file.trim_start_matches("attacks/");
                if name.starts_with(start) {
                    exhibit.source.get_or_insert_with(|| (*source).to_owned());
                    credited += 1;
                }
            }
            assert!(credited > 0, "nothing is called {start}");
        }
    }

    /// The good assertion with `from` made `to` before it is signed.
    fn changed(&self, from: &str, to: &str) -> String {
        let changed = assertion().replacen(from, to, 1);
        assert_ne!(changed, assertion(), "{from} is not there");
        response(&sign(&changed, "_a1", &self.key))
    }

    fn good(&self) -> String {
        signed_by(&self.key, RSA_SHA256)
    }

    /// The good response with `from` made `to` after it was signed.
    fn mutated(&self, from: &str, to: &str) -> String {
        let good = self.good();
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from} is not there");
        changed
    }

    /// The good assertion under a SignedInfo in which `from` was made `to` before it was signed.
    fn with_info(&self, from: &str, to: &str) -> String {
        let plain = assertion();
        let info = signed_info("_a1", &digest(&plain), RSA_SHA256);
        let odd = info.replacen(from, to, 1);
        assert_ne!(info, odd, "{from} is not there");
        response(&insert(&plain, &signature(&odd, &self.key, "")))
    }

    fn both(&self) -> String {
        sign(
            &response(&sign(&assertion(), "_a1", &self.key)),
            "_r0",
            &self.key,
        )
    }

    fn good_ones(&mut self) {
        let good = self.good();
        self.show("okta-like", "GOOD", "accepted", &good);
        self.show("self-test", "GOOD", "accepted", &good);
        let forged = good.replace("alice@example.org", "admin@example.org");
        self.show("self-test", "SIG-03", "signature_invalid", forged);
        let declared =
            format!("<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"no\"?>\r\n{good}\n");
        self.show("declaration-and-line-ends", "GOOD", "accepted", declared);
        let response_signed = sign(&response(&assertion()), "_r0", &self.key);
        self.show("response-signed", "GOOD", "accepted", &response_signed);
        self.show(
            "response-signed-required",
            "GOOD",
            "accepted",
            &response_signed,
        )
        .require = "response".to_owned();
        let both = self.both();
        self.show("both-signed", "GOOD", "accepted", &both);
        self.show("both-signed-required", "GOOD", "accepted", &both)
            .require = "both".to_owned();
        let asked = assertion().replace(
            "SubjectConfirmationData Not",
            "SubjectConfirmationData InResponseTo=\"_q1\" Not",
        );
        let answer = response(&sign(&asked, "_a1", &self.key))
            .replace(" ID=\"_r0\"", " ID=\"_r0\" InResponseTo=\"_q1\"");
        self.show("sp-initiated", "GOOD", "accepted", answer)
            .request = Some("_q1".to_owned());
        let keycloak = self.good().replace(
            "<ds:KeyInfo>",
            "<ds:KeyInfo><ds:KeyName>k1</ds:KeyName><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>",
        );
        self.show("key-info-of-keycloak", "GOOD", "accepted", keycloak);
        let java = good.replace("</ds:SignatureValue>", "&#13;\n</ds:SignatureValue>");
        self.show("line-ends-of-java", "GOOD", "accepted", java);
        self.show(
            "signed-by-xmlsec",
            "GOOD",
            "accepted",
            self.signed_by_xmlsec(),
        );
        let many: Vec<String> = (0..7)
            .map(|n| {
                attribute(
                    &format!("urn:example:attribute:{n}"),
                    &["x".repeat(255).as_str()],
                )
            })
            .collect();
        let large = self.with_attributes(&many.concat());
        self.show("nine-kilobytes", "BENCH", "accepted", large);
        let groups: Vec<String> = (0..270)
            .map(|n| format!("team-{n:04}-{}", "y".repeat(20)))
            .collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let larger = self.with_attributes(&attribute("urn:example:groups", &groups));
        self.show("fifty-seven-kilobytes", "BENCH", "accepted", larger);
    }

    fn with_attributes(&self, more: &str) -> String {
        self.changed(
            "</saml:AttributeStatement>",
            &format!("{more}</saml:AttributeStatement>"),
        )
    }

    /// As an identity provider with its own canonicaliser writes it: white space, single quotes,
    /// empty-element tags, other prefixes, namespaces declared at the root.
    fn signed_by_xmlsec(&self) -> String {
        use samael::crypto::{Crypto, CryptoProvider};
        let plain = assertion()
            .replace(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"", "")
            .replace("></saml:SubjectConfirmationData>", " />")
            .replace("<saml:Subject>", "\n  <saml:Subject>\n")
            .replace("Version=\"2.0\"", "Version='2.0'");
        let template = "<ds:Signature Id='s'><ds:SignedInfo>\n<ds:CanonicalizationMethod Algorithm='http://www.w3.org/2001/10/xml-exc-c14n#'/>\n<ds:SignatureMethod Algorithm='http://www.w3.org/2001/04/xmldsig-more#rsa-sha512'/>\n<ds:Reference URI='#_a1'><ds:Transforms><ds:Transform Algorithm='http://www.w3.org/2000/09/xmldsig#enveloped-signature'/><ds:Transform Algorithm='http://www.w3.org/2001/10/xml-exc-c14n#'/></ds:Transforms><ds:DigestMethod Algorithm='http://www.w3.org/2001/04/xmlenc#sha512'/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/></ds:Signature>";
        let whole = response(&insert(&plain, template))
            .replace(" xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"", "")
            .replacen(
                "<samlp:Response ",
                &format!(
                    "<samlp:Response xmlns:saml='urn:oasis:names:tc:SAML:2.0:assertion' {DS} "
                ),
                1,
            );
        Crypto::sign_xml(whole, &self.key.der()).unwrap()
    }
}

fn between(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).unwrap() + from.len();
    let length = text[start..].find(to).unwrap();
    text[start..start + length].to_owned()
}
