//! Our own metadata, for the identity provider's admin.
//!
//! It publishes addresses and the certificates of our key pairs under the use that each is for; an
//! encryption key never stands as a signing key, and no private half comes near.

use std::fmt::Write;

use quick_xml::escape::escape;

use super::service_key::{ServiceKey, ServiceKeyError};

/// What the metadata says.
#[derive(Debug)]
pub struct Published<'a> {
    /// Who we are.
    pub entity_id: &'a str,
    /// Where responses are posted.
    pub acs_url: &'a str,
    /// Where logout messages are sent.
    pub slo_url: &'a str,
    /// The keys that our requests are signed with; with none, requests are not signed and single
    /// logout is not offered, since its messages must be signed.
    pub signing: &'a [ServiceKey],
    /// The keys to encrypt for, the one to choose first.
    pub decryption: &'a [ServiceKey],
}

/// The metadata of rolegate as a service provider (SAML 2.0 metadata, 2.4.4).
pub fn service_provider(published: &Published<'_>) -> Result<String, ServiceKeyError> {
    let (entity_id, acs_url) = (escape(published.entity_id), escape(published.acs_url));
    let signed = !published.signing.is_empty();
    let mut keys = String::new();
    for (usage, ring) in [
        ("signing", published.signing),
        ("encryption", published.decryption),
    ] {
        for key in ring {
            describe(&mut keys, usage, &key.certificate_base64()?);
        }
    }
    let logout = if signed {
        logout(published.slo_url)
    } else {
        String::new()
    };
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="{entity_id}">
  <md:SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" AuthnRequestsSigned="{signed}" WantAssertionsSigned="true">
{keys}{logout}    <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified</md:NameIDFormat>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{acs_url}" index="0" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
"#
    ))
}

/// A key; for encryption with the methods that are taken, best first (metadata, 2.4.1.1).
fn describe(text: &mut String, usage: &str, certificate: &str) {
    let methods = if usage == "encryption" { METHODS } else { "" };
    // Writing to a String cannot fail.
    let _written = writeln!(
        text,
        r#"    <md:KeyDescriptor use="{usage}">
      <ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
{methods}    </md:KeyDescriptor>"#
    );
}

const METHODS: &str = r#"      <md:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes128-gcm"/>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>
"#;

fn logout(slo_url: &str) -> String {
    let slo_url = escape(slo_url);
    let mut text = String::new();
    for binding in ["HTTP-Redirect", "HTTP-POST"] {
        let _written = writeln!(
            text,
            r#"    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:{binding}" Location="{slo_url}"/>"#
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saml::xml::{Element, Limits, Space, read};

    fn published(signing: &[ServiceKey], decryption: &[ServiceKey]) -> String {
        service_provider(&Published {
            entity_id: "urn:x\"><evil/>",
            acs_url: "https://gate.example.org/saml/acs?a=1&b=2",
            slo_url: "https://gate.example.org/saml/slo",
            signing,
            decryption,
        })
        .unwrap()
    }

    fn role<'e, 'a>(root: &'e Element<'a>) -> &'e Element<'a> {
        root.only(Space::Metadata, "SPSSODescriptor").unwrap()
    }

    #[test]
    fn holds_what_was_given_and_nothing_that_it_could_smuggle() {
        let text = published(&[], &[]);
        let root = read(&text, Limits::METADATA).unwrap();
        assert_eq!(root.attribute("entityID"), Some("urn:x\"><evil/>"));
        let role = role(&root);
        assert_eq!(role.attribute("WantAssertionsSigned"), Some("true"));
        assert_eq!(role.attribute("AuthnRequestsSigned"), Some("false"));
        let acs = role
            .only(Space::Metadata, "AssertionConsumerService")
            .unwrap();
        assert_eq!(
            acs.attribute("Location"),
            Some("https://gate.example.org/saml/acs?a=1&b=2")
        );
        assert_eq!(role.all(Space::Metadata, "KeyDescriptor").count(), 0);
        assert_eq!(role.all(Space::Metadata, "SingleLogoutService").count(), 0);
    }

    #[test]
    fn publishes_each_key_under_its_own_use() {
        let now = "2026-01-15T12:00:00Z".parse().unwrap();
        let keys = || ServiceKey::generate("gate.example.org", now).unwrap();
        let (signing, decryption) = ([keys()], [keys(), keys()]);
        let text = published(&signing, &decryption);
        let root = read(&text, Limits::METADATA).unwrap();
        let role = role(&root);
        assert_eq!(role.attribute("AuthnRequestsSigned"), Some("true"));
        assert_eq!(role.all(Space::Metadata, "SingleLogoutService").count(), 2);
        let shown: Vec<(&str, String)> = role
            .all(Space::Metadata, "KeyDescriptor")
            .map(|key| {
                let certificate = key
                    .only(Space::Signature, "KeyInfo")
                    .and_then(|info| info.only(Space::Signature, "X509Data"))
                    .and_then(|data| data.only(Space::Signature, "X509Certificate"))
                    .unwrap();
                (
                    key.attribute("use").unwrap(),
                    certificate.text().unwrap().to_owned(),
                )
            })
            .collect();
        let expected: Vec<(&str, String)> = [
            ("signing", &signing[0]),
            ("encryption", &decryption[0]),
            ("encryption", &decryption[1]),
        ]
        .into_iter()
        .map(|(usage, key)| (usage, key.certificate_base64().unwrap()))
        .collect();
        assert_eq!(shown, expected);
    }
}
