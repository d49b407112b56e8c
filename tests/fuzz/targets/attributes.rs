//! Whatever a provider says of a person, genuinely signed: every role read stands there to the letter, user
//! and duration are what was sent, and no value is lost.
//!
//! The input's lines: RoleSessionName, SessionDuration, then Role values; the target signs them.

#![no_main]

mod door;
#[allow(dead_code, reason = "the museum signs odder things with it")]
#[path = "../../it/museum/forge.rs"]
mod forge;

use std::path::Path;
use std::sync::LazyLock;

use door::judge;
use forge::{Key, sign};
use libfuzzer_sys::fuzz_target;
use rolegate::saml::RawResponse;

static KEY: LazyLock<Key> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/saml");
    Key::load(Path::new(folder), "idp")
});

const HEAD: &str = r#"<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_a1" IssueInstant="2026-01-15T11:59:30Z" Version="2.0"><saml:Issuer>https://idp.example.org/saml</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="2026-01-15T12:05:00Z" Recipient="https://gate.example.org/saml/acs"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotOnOrAfter="2026-01-15T12:06:00Z"><saml:AudienceRestriction><saml:Audience>urn:amazon:webservices</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="2026-01-15T11:59:30Z"></saml:AuthnStatement><saml:AttributeStatement>"#;

/// Text in canonical form.
fn text(raw: &str) -> String {
    raw.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\r', "&#xD;")
}

fn attribute(name: &str, values: &[&str]) -> String {
    let value = |raw: &&str| format!("<saml:AttributeValue>{}</saml:AttributeValue>", text(raw));
    let values: String = values.iter().map(value).collect();
    format!(
        "<saml:Attribute Name=\"https://aws.amazon.com/SAML/Attributes/{name}\">{values}</saml:Attribute>"
    )
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = input.split('\n');
    let (user, duration) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let roles: Vec<&str> = lines.collect();
    let assertion = format!(
        "{HEAD}{}{}{}</saml:AttributeStatement></saml:Assertion>",
        attribute("Role", &roles),
        attribute("RoleSessionName", &[user]),
        attribute("SessionDuration", &[duration]),
    );
    let document = format!(
        r#"<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r0" IssueInstant="2026-01-15T11:59:30Z" Version="2.0"><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>{}</samlp:Response>"#,
        sign(&assertion, "_a1", &KEY)
    );
    match judge(|| RawResponse::from_text(&document).ok()) {
        Some(Ok(reading)) => {
            let parts = reading.parts;
            assert_eq!(parts.person.user.as_str(), user);
            let sent = parts.session_duration.map(|one| one.seconds().to_string());
            assert_eq!(sent.as_deref().unwrap_or(""), duration);
            assert!(parts.offers.len() + parts.refused_offers.len() <= roles.len());
            assert!(!parts.offers.is_empty() || parts.refused_offers.len() == roles.len());
            for offer in &parts.offers {
                let said = |value: &&str| {
                    let provider = offer.provider.as_ref().map(|arn| arn.as_str());
                    value.contains(offer.role.as_str())
                        && provider.is_none_or(|arn| roles.iter().any(|one| one.contains(arn)))
                };
                assert!(roles.iter().any(said), "{offer:?} was not sent");
            }
        }
        // What was signed here verifies, whatever it says.
        Some(Err(code)) => assert_ne!(code, "signature_invalid"),
        None => {}
    }
});
