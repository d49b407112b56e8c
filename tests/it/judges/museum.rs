//! The museum before the judges: every document in `fixtures/saml/valid/` and what the demo IdP signs.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use rolegate::demo::idp::{DemoIdp, DemoUser, IdpSettings, Sign};
use rolegate::model::{Clock, OsEntropy, SystemClock};
use serde::Deserialize;

use super::door::Door;
use super::opinions;

/// A line of the manifest, as far as it concerns the door.
#[derive(Debug, Deserialize)]
pub(crate) struct Exhibit {
    pub(crate) file: String,
    expect: String,
    at: DateTime<Utc>,
    metadata: String,
    require: String,
    request: Option<String>,
    strict: bool,
    user_domains: Vec<String>,
}

fn read(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/saml")
        .join(file);
    std::fs::read_to_string(path).unwrap()
}

impl Exhibit {
    pub(crate) fn document(&self) -> String {
        read(&self.file)
    }

    pub(crate) fn door(&self) -> Door {
        let mut door = Door::new(&read(&self.metadata), self.at);
        door.require = serde_json::from_value(self.require.clone().into()).unwrap();
        door.request.clone_from(&self.request);
        door.strict_certificates = self.strict;
        door.user_domains.clone_from(&self.user_domains);
        door
    }
}

/// The good documents. What comes encrypted is nothing that others could judge without our key.
pub(crate) fn valid() -> Vec<Exhibit> {
    let all: Vec<Exhibit> = serde_json::from_str(&read("manifest.json")).unwrap();
    all.into_iter()
        .filter(|exhibit| exhibit.expect == "accepted")
        .filter(|exhibit| !exhibit.document().contains("EncryptedAssertion"))
        .collect()
}

/// The texts of every element of this name.
fn texts(document: &str, element: &str) -> Vec<String> {
    let found = regex_lite::Regex::new(&format!(r"<(?:\w+:)?{element}>([^<]+)<")).unwrap();
    let texts = found.captures_iter(document);
    texts.map(|text| text[1].to_owned()).collect()
}

/// `document` with one letter in the middle of `text` changed, which stands there once.
pub(crate) fn spoilt(document: &str, text: &str) -> String {
    assert_eq!(document.matches(text).count(), 1, "{text}");
    let (start, end) = text.split_at(text.len() / 2);
    let other = if end.starts_with('A') { "B" } else { "A" };
    document.replace(text, &format!("{start}{other}{}", &end[1..]))
}

/// The document is accepted by all; a copy with one letter changed in a signature, a digest or a signed
/// text is refused by all.
pub(crate) fn judge(what: &str, door: &Door, document: &str) {
    let reading = door
        .judge(document)
        .unwrap_or_else(|code| panic!("{what}: the door says {code}"));
    assert_eq!(opinions::all(&door.metadata, document), Ok(()), "{what}");
    let mut spoilt_ones: Vec<String> = ["SignatureValue", "DigestValue"]
        .iter()
        .flat_map(|element| texts(document, element))
        .map(|text| spoilt(document, &text))
        .collect();
    let name_id = format!(">{}<", reading.name_id);
    spoilt_ones.push(document.replacen(&name_id, ">mallory<", 1));
    for bad in spoilt_ones {
        assert_ne!(bad, document, "{what}");
        assert_eq!(door.judge(&bad), Err("signature_invalid"), "{what}: {bad}");
        assert!(
            opinions::bergshamra(&door.metadata, &bad).is_err(),
            "{what}: bergshamra takes {bad}"
        );
        assert!(
            opinions::xmlsec1(&door.metadata, &bad).is_err(),
            "{what}: xmlsec1 takes {bad}"
        );
    }
}

#[test]
fn every_valid_document_holds_before_every_judge_and_no_spoilt_one_before_any() {
    let exhibits = valid();
    assert!(exhibits.len() >= 30, "{} documents", exhibits.len());
    // Most of the time goes into starting xmlsec1.
    let (one_half, other_half) = exhibits.split_at(exhibits.len() / 2);
    std::thread::scope(|scope| {
        for half in [one_half, other_half] {
            scope.spawn(move || {
                for exhibit in half {
                    judge(&exhibit.file, &exhibit.door(), &exhibit.document());
                }
            });
        }
    });
}

#[test]
fn what_nobody_signed_holds_before_no_judge() {
    let exhibit = &valid()[0];
    let metadata = read("idp.xml");
    let unsigned = read("attacks/sig-01-unsigned.xml");
    assert_eq!(exhibit.door().judge(&unsigned), Err("unsigned"));
    assert!(opinions::bergshamra(&metadata, &unsigned).is_err());
    assert!(opinions::xmlsec1(&metadata, &unsigned).is_err());
}

#[test]
fn a_certificate_in_the_document_counts_before_no_judge() {
    let exhibit = &valid()[0];
    let metadata = read("idp.xml");
    let other = read("attacks/sig-04-other-key-with-its-certificate.xml");
    assert_eq!(exhibit.door().judge(&other), Err("signature_invalid"));
    assert!(opinions::bergshamra(&metadata, &other).is_err());
    assert!(opinions::xmlsec1(&metadata, &other).is_err());
    // The same document is a good one to who trusts the other key: the judges do look at it.
    let certificate = read("other.crt");
    let certificate: String = certificate
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let trusting = format!("<X509Certificate>{certificate}</X509Certificate>");
    assert_eq!(opinions::all(&trusting, &other), Ok(()));
}

#[tokio::test]
async fn what_the_demo_idp_signs_holds_before_every_judge() {
    let idp = DemoIdp::start(IdpSettings {
        entity_id: None,
        acs_url: "https://gate.example.org/saml/acs".to_owned(),
        sp_entity_id: "urn:amazon:webservices".to_owned(),
        users: vec![DemoUser {
            name: "alice".to_owned(),
            password: "alice-password".to_owned(),
            role_session_name: "alice@example.org".to_owned(),
            roles: vec![crate::gateway::pair("reader")],
            session_duration: Some("3600".to_owned()),
            extra: vec![("groups".to_owned(), vec!["a&b <c> \"d\"\n é".to_owned()])],
        }],
        key: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    })
    .await
    .unwrap();
    for sign in [Sign::Assertion, Sign::Response, Sign::Both] {
        let mut plan = idp.plan("alice");
        plan.sign = sign;
        let document = String::from_utf8(STANDARD.decode(idp.sign(&plan)).unwrap()).unwrap();
        let door = Door::new(idp.metadata(), SystemClock.now());
        judge(&format!("{sign:?}"), &door, &document);
        let reading = door.judge(&document).unwrap();
        assert_eq!(reading.parts.attributes["groups"], ["a&b <c> \"d\"\n é"]);
    }
    let mut plan = idp.plan("alice");
    plan.sign = Sign::None;
    let unsigned = String::from_utf8(STANDARD.decode(idp.sign(&plan)).unwrap()).unwrap();
    let door = Door::new(idp.metadata(), SystemClock.now());
    assert_eq!(door.judge(&unsigned), Err("unsigned"));
}

/// Other verifiers know more names of IDs than SAML 2.0 does, and STS is sent this very document.
#[test]
fn an_id_that_another_verifier_would_see_twice_is_refused() {
    let exhibit = &valid()[0];
    let (door, good) = (exhibit.door(), exhibit.document());
    for name in ["Id", "id", "AssertionID"] {
        let with = |id: &str| {
            let attribute = format!("<samlp:Response {name}=\"{id}\" ");
            good.replacen("<samlp:Response ", &attribute, 1)
        };
        for taken in ["_a1", "_r0"] {
            assert_eq!(door.judge(&with(taken)), Err("duplicate_id"), "{name}");
        }
        let free = with("_free");
        assert!(door.judge(&free).is_ok(), "{name}");
        assert_eq!(opinions::all(&door.metadata, &free), Ok(()), "{name}");
    }
}
