//! What the museum's encrypted documents have in common, beside how each of them ends.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rolegate::model::SignIn;
use rolegate::saml::{Check, Expectation, RawResponse, Trust, examine, prepare};

use super::{Exhibit, folder, form, judge, manifest, trust, with_expectation};

/// The first exhibit of this file, its trust, its document as posted.
fn exhibit(file: &str) -> (Exhibit, Trust, Vec<u8>) {
    let exhibit = manifest().into_iter().find(|e| e.file == file).unwrap();
    let trust = trust(&exhibit.metadata, exhibit.at);
    let document = std::fs::read(folder().join(file)).unwrap();
    (exhibit, trust, document)
}

#[test]
fn an_encrypted_assertion_says_the_same_and_is_not_forwarded() {
    prepare().unwrap();
    let read = |file: &str| {
        let (exhibit, trust, document) = exhibit(file);
        let verified = judge(&exhibit, &trust, &form(&document)).unwrap();
        let ids = verified.replay_ids();
        let (parts, proof) = verified.into_parts();
        assert_eq!(proof.encoded.expose(), STANDARD.encode(&document));
        (ids, parts)
    };
    for (clear, encrypted) in [
        ("valid/okta-like.xml", "valid/enc-aes256-gcm.xml"),
        (
            "valid/response-signed.xml",
            "valid/enc-response-signed-aes256-cbc.xml",
        ),
        (
            "valid/both-signed.xml",
            "valid/enc-both-signed-aes256-gcm.xml",
        ),
    ] {
        let ((ids, clear), (sealed_ids, encrypted)) = (read(clear), read(encrypted));
        assert_eq!(ids, sealed_ids, "it is the same assertion");
        assert_eq!(clear.person, encrypted.person);
        assert_eq!(clear.attributes, encrypted.attributes);
        assert_eq!(clear.offers, encrypted.offers);
        assert!(!clear.forwarding.unwrap().encrypted);
        assert!(encrypted.forwarding.unwrap().encrypted);
    }
}

#[test]
fn explain_shows_each_step_of_an_encrypted_assertion() {
    prepare().unwrap();
    let steps = |file: &str| {
        let (exhibit, trust, document) = exhibit(file);
        let raw = RawResponse::from_text(str::from_utf8(&document).unwrap()).unwrap();
        let examined = with_expectation(&exhibit, &trust, |expectation| {
            examine(raw, |_| Some(Expectation { ..*expectation }))
        });
        let shown = |check: &Check| (check.check.clone(), check.ok);
        let behind_the_gate = examined.checks.iter().skip(6).take(5);
        behind_the_gate.map(shown).collect::<Vec<_>>()
    };
    let held = |names: &[&str]| {
        let held = |name: &&str| ((*name).to_owned(), true);
        names.iter().map(held).collect::<Vec<_>>()
    };
    let failed = |names: &[&str]| {
        let mut all = held(names);
        all.last_mut().unwrap().1 = false;
        all
    };
    assert_eq!(
        steps("valid/enc-both-signed-aes128-cbc.xml"),
        held(&[
            "signature",
            "encryption",
            "decryption",
            "encrypted_content",
            "encrypted_signature"
        ])
    );
    assert_eq!(
        steps("valid/enc-aes256-gcm.xml"),
        held(&[
            "encryption",
            "decryption",
            "encrypted_content",
            "encrypted_signature",
            "verified"
        ])
    );
    for (file, names) in [
        ("enc-03-no-key", &["encryption"][..]),
        ("enc-03-changed-tag", &["encryption", "decryption"]),
        (
            "enc-04-dtd",
            &["encryption", "decryption", "encrypted_content"],
        ),
        (
            "enc-06-unsigned",
            &["encryption", "decryption", "encrypted_content"],
        ),
        (
            "enc-06-changed",
            &[
                "encryption",
                "decryption",
                "encrypted_content",
                "encrypted_signature",
            ],
        ),
        ("enc-02-cbc-ciphertext-exchanged", &["signature"]),
        (
            "enc-03-cbc-padding-0",
            &["signature", "encryption", "decryption"],
        ),
    ] {
        assert_eq!(
            steps(&format!("attacks/{file}.xml")),
            failed(names),
            "{file}"
        );
    }
}

#[test]
fn what_does_not_decrypt_never_says_why() {
    prepare().unwrap();
    let mut said = BTreeSet::new();
    for exhibit in manifest()
        .iter()
        .filter(|e| e.expect == "decryption_failed")
    {
        let document = std::fs::read(folder().join(&exhibit.file)).unwrap();
        let trust = trust(&exhibit.metadata, exhibit.at);
        let refusal = judge(exhibit, &trust, &form(&document)).unwrap_err();
        said.insert(format!("{refusal:?} {refusal}"));
    }
    assert_eq!(said.len(), 1, "{said:?}");
}

/// Whatever byte of a good document is changed: it is refused, or says what it said.
#[test]
fn a_changed_byte_is_refused_or_changes_nothing() {
    prepare().unwrap();
    for file in [
        "valid/enc-aes256-gcm.xml",
        "valid/enc-key-beside-response-signed.xml",
    ] {
        let (exhibit, trust, document) = exhibit(file);
        let read = |document: &[u8]| {
            let verified = judge(&exhibit, &trust, &form(document)).ok()?;
            let (parts, _) = verified.into_parts();
            Some((
                parts.person,
                parts.offers,
                parts.attributes,
                parts.session_duration,
                parts.not_after,
            ))
        };
        let said = read(&document);
        assert!(said.is_some());
        let mut refused = 0;
        for at in (0..document.len()).step_by(17) {
            let mut changed = document.clone();
            changed[at] ^= 1;
            match read(&changed) {
                None => refused += 1,
                other => assert!(other == said, "{file}: byte {at} changes what is read"),
            }
        }
        assert!(refused > document.len() / 20, "{file}: {refused} refused");
    }
}
