//! Real signers at the door: SimpleSAMLphp, pysaml2 and signxml, in all their ways of signing.
//!
//! Each response is accepted, read as it was sent, and verified by both judges; unsigned it is refused; and
//! no changed copy is taken for another.

mod copies;
mod gateway;

use std::process::Command;
use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use rolegate::model::{Clock, SystemClock};
use rolegate::saml::RequireSigned;

use super::door::{Door, Reading};
use super::opinions;
use crate::parts::signers::{Made, Signer, Wish};

const AWS: &str = "https://aws.amazon.com/SAML/Attributes";
const ACS: &str = "https://gate.example.org/saml/acs";
const ISSUER: &str = "https://idp.example.org/saml";
const METADATA: &str = include_str!("../../../fixtures/saml/idp.xml");

fn now() -> DateTime<Utc> {
    SystemClock.now()
}

/// What the signers are asked to say, to the ACS at `acs`; the texts are ones that XML has to write otherwise.
fn wish(acs: &str) -> Wish {
    let pair = |name: &str| {
        let account = "arn:aws:iam::123456789012";
        format!("{account}:role/{name},{account}:saml-provider/Demo")
    };
    let attributes = [
        (
            format!("{AWS}/Role"),
            vec![pair("reader"), pair("path/deep")],
        ),
        (
            format!("{AWS}/RoleSessionName"),
            vec!["alice@example.org".to_owned()],
        ),
        (format!("{AWS}/SessionDuration"), vec!["7200".to_owned()]),
        (
            "groups".to_owned(),
            vec![
                "a&b <c> \"d\" 'e' ]] >".to_owned(),
                "  é \u{65e5}\u{672c}\t\u{1f600}\n second line ".to_owned(),
            ],
        ),
    ];
    Wish {
        issuer: ISSUER.to_owned(),
        acs: acs.to_owned(),
        audience: "urn:amazon:webservices".to_owned(),
        name_id: "alice".to_owned(),
        attributes: attributes.to_vec(),
        in_response_to: None,
    }
}

/// Every way of signing by every hash, made once for the tests that look at them.
fn all_of(signer: Signer) -> &'static [Made] {
    static MADE: [OnceLock<Vec<Made>>; 2] = [OnceLock::new(), OnceLock::new()];
    let place = match signer {
        Signer::Pysaml2 => &MADE[0],
        Signer::Signxml => &MADE[1],
    };
    place.get_or_init(|| signer.make(&wish(ACS), "idp", &[]))
}

/// What was read is what was sent.
fn says(reading: &Reading, wish: &Wish) {
    assert_eq!(reading.parts.person.user.as_str(), "alice@example.org");
    assert_eq!(reading.issuer, wish.issuer);
    assert_eq!(reading.recipient, wish.acs);
    assert_eq!(reading.name_id, wish.name_id);
    assert_eq!(reading.in_response_to, wish.in_response_to);
    let sent = wish.attributes.iter().cloned().collect();
    assert_eq!(reading.parts.attributes, sent);
    let roles: Vec<&str> = reading
        .parts
        .offers
        .iter()
        .map(|offer| offer.role.as_str())
        .collect();
    let account = "arn:aws:iam::123456789012:role";
    assert_eq!(
        roles,
        [format!("{account}/reader"), format!("{account}/path/deep")]
    );
    assert_eq!(reading.parts.session_duration.unwrap().seconds(), 7200);
}

/// Whether a way of signing is enough for what is required.
fn is_enough(sign: &str, require: RequireSigned) -> bool {
    match require {
        RequireSigned::Assertion => sign != "none",
        RequireSigned::Response => sign == "response" || sign == "both",
        RequireSigned::Both => sign == "both",
    }
}

/// Holds every response up to the door, with each requirement, and to the judges.
fn accepted_by_all(metadata: &str, wish: &Wish, all: &[Made]) {
    let mut door = Door::new(metadata, now());
    door.acs.clone_from(&wish.acs);
    door.request.clone_from(&wish.in_response_to);
    for Made {
        sign,
        hash,
        document,
    } in all
    {
        for require in [
            RequireSigned::Both,
            RequireSigned::Response,
            RequireSigned::Assertion,
        ] {
            door.require = require;
            let outcome = door.judge(document);
            if is_enough(sign, require) {
                let reading =
                    outcome.unwrap_or_else(|code| panic!("{sign}, {hash}: {code}: {document}"));
                says(&reading, wish);
            } else {
                let code = outcome.unwrap_err();
                let expected = if sign == "none" {
                    "unsigned"
                } else {
                    "signature_required"
                };
                assert_eq!(code, expected, "{sign} for {require:?}");
            }
        }
        let opinion = opinions::all(metadata, document);
        assert_eq!(
            opinion.is_ok(),
            sign != "none",
            "{sign}, {hash}: {opinion:?}"
        );
    }
}

#[test]
fn pysaml2_and_signxml_are_taken_in_every_way_of_signing_with_every_hash() {
    for signer in Signer::ALL {
        let all = all_of(signer);
        assert_eq!(all.len(), 12, "{signer:?}");
        accepted_by_all(METADATA, &wish(ACS), all);
    }
}

#[test]
fn answers_to_a_request_are_taken_for_that_request_alone() {
    for signer in Signer::ALL {
        let mut asked = wish(ACS);
        asked.in_response_to = Some("_q1".to_owned());
        let all = signer.make(&asked, "idp", &["--sign", "both", "--hash", "sha256"]);
        accepted_by_all(METADATA, &asked, &all);
        let mut door = Door::new(METADATA, now());
        for request in [None, Some("_q2".to_owned())] {
            door.request = request;
            assert_eq!(door.judge(&all[0].document), Err("in_response_to"));
        }
    }
}

#[test]
fn signxml_is_taken_with_an_elliptic_curve_key_too() {
    let wish = wish(ACS);
    let metadata = include_str!("../../../fixtures/saml/idp-ec.xml");
    let all = Signer::Signxml.make(&wish, "ec", &[]);
    assert!(all[0].document.contains("ecdsa-sha256"));
    accepted_by_all(metadata, &wish, &all);
    let door = Door::new(METADATA, now());
    assert_eq!(door.judge(&all[0].document), Err("signature_invalid"));
}

#[test]
fn another_key_is_refused_though_its_certificate_is_there() {
    for signer in Signer::ALL {
        let all = signer.make(&wish(ACS), "other", &["--hash", "sha256"]);
        let door = Door::new(METADATA, now());
        for made in all.iter().filter(|made| made.sign != "none") {
            assert_eq!(
                door.judge(&made.document),
                Err("signature_invalid"),
                "{signer:?}, {}",
                made.sign
            );
        }
    }
}

/// What pysaml2 encrypts, xmlsec1 can read with the key that it was encrypted for, and nobody without.
#[test]
fn pysaml2_encrypts_by_the_ciphers_that_are_asked_for() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/saml");
    let reader = format!("{folder}/other.crt");
    for (cipher, sign) in [("aes128-gcm", "assertion"), ("aes256-gcm", "both")] {
        let ways = ["--sign", sign, "--hash", "sha256"];
        let how = ["--encrypt", &reader, "--cipher", cipher];
        let arguments = [&ways[..], &how[..]].concat();
        for made in Signer::Pysaml2.make(&wish(ACS), "idp", &arguments) {
            let document = &made.document;
            assert!(document.contains(&format!("http://www.w3.org/2009/xmlenc11#{cipher}")));
            assert!(document.contains("http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"));
            assert!(!document.contains("alice@example.org"), "it is to be read");
            assert!(Door::new(METADATA, now()).judge(document).is_err());
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), document).unwrap();
            let read_with = |key: &str| {
                let output = Command::new("xmlsec1")
                    .args(["--decrypt", "--privkey-pem", &format!("{folder}/{key}.key")])
                    .arg(file.path())
                    .output()
                    .expect("xmlsec1 is missing: run tests/setup test");
                String::from_utf8_lossy(&output.stdout).contains("alice@example.org")
            };
            assert!(read_with("other"), "{cipher}");
            assert!(!read_with("idp"), "{cipher}");
        }
    }
}
