//! The museum of SAML responses: every document in `fixtures/saml/`, what it is and how it must end.
//!
//! `manifest.json` names for each file its class (SAML.md, section 4), the exact reason code or
//! `accepted`, and the good twin of a bad one. An unexpected success fails, another reason fails, a file
//! without an entry and an entry without a file fail.
//!
//! The documents are made by `pieces.rs`, signed by `forge.rs`. `ROLEGATE_BLESS=1 cargo test --test it
//! museum` writes them anew; it changes nothing as long as the pieces stay the same. (From nothing, the
//! three files that `src/saml/self_test.rs` includes must exist, empty, for the crate to compile.)

mod catalogue;
mod encrypted;
mod forge;
mod jail;
#[allow(
    clippy::too_many_lines,
    clippy::format_collect,
    clippy::assigning_clones,
    reason = "a catalogue: one statement an exhibit"
)]
mod pieces;
mod posts;
mod seal;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rolegate::model::{Secret, SignIn};
use rolegate::saml::{
    AttributeNames, Expectation, RawResponse, Refusal, RequireSigned, ServiceKey, Trust,
    VerifiedAssertion, examine, metadata, prepare, verify,
};
use serde::{Deserialize, Serialize};

use jail::worked;

/// A line of the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exhibit {
    /// The file below `fixtures/saml/`.
    file: String,
    /// Its class in SAML.md, section 4.
    id: String,
    /// `accepted`, or the code of the refusal.
    expect: String,
    /// The good document that differs from it in the point at issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    twin: Option<String>,
    /// When it is held up.
    at: DateTime<Utc>,
    /// The metadata of the provider.
    metadata: String,
    /// `require_signed`.
    require: String,
    /// The request of ours that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    /// `strict_certificates`.
    strict: bool,
    /// `user_domains`.
    user_domains: Vec<String>,
    /// The decryption keys that the gateway has, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    decryption: Vec<String>,
    /// The CVE or the paper that it comes from, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/saml")
}

fn manifest() -> Vec<Exhibit> {
    static WRITTEN: std::sync::Once = std::sync::Once::new();
    WRITTEN.call_once(|| {
        if std::env::var_os("ROLEGATE_BLESS").is_some() {
            pieces::write_all(&folder());
        }
    });
    let text = std::fs::read_to_string(folder().join("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn trust(file: &str, at: DateTime<Utc>) -> Trust {
    let xml = std::fs::read(folder().join(file)).unwrap();
    metadata::read_idp(&"museum".parse().unwrap(), &xml, at, false).unwrap()
}

/// Our key pairs as PEM, read once: the judged may not open files.
static SERVICE_KEYS: LazyLock<BTreeMap<&str, (Secret, String)>> = LazyLock::new(|| {
    let read = |name: &str, ending: &str| {
        std::fs::read_to_string(folder().join(format!("{name}.{ending}"))).unwrap()
    };
    let pair = |name| (name, (Secret::new(read(name, "key")), read(name, "crt")));
    ["sp", "sp-old"].map(pair).into()
});

fn service_keys(names: &[String]) -> Vec<ServiceKey> {
    let key = |name: &String| {
        let (private, certificate) = &SERVICE_KEYS[name.as_str()];
        ServiceKey::from_pem(private, certificate).unwrap()
    };
    names.iter().map(key).collect()
}

fn form(document: &[u8]) -> String {
    let encoded = STANDARD.encode(document);
    format!(
        "SAMLResponse={}",
        percent_encode(encoded.as_bytes(), NON_ALPHANUMERIC)
    )
}

fn judge(exhibit: &Exhibit, trust: &Trust, body: &str) -> Result<VerifiedAssertion, Refusal> {
    let raw = RawResponse::from_form(
        Some("application/x-www-form-urlencoded"),
        None,
        body.as_bytes(),
    )
    .unwrap_or_else(|error| panic!("{}: {error}", exhibit.file));
    with_expectation(exhibit, trust, |expectation| {
        verify(raw.response.read()?, expectation)
    })
}

fn with_expectation<T>(
    exhibit: &Exhibit,
    trust: &Trust,
    run: impl FnOnce(&Expectation<'_>) -> T,
) -> T {
    let require: RequireSigned = serde_json::from_value(exhibit.require.clone().into()).unwrap();
    run(&Expectation {
        trust,
        audiences: &[
            pieces::AUDIENCE.to_owned(),
            "https://gate.example.org/saml".to_owned(),
        ],
        recipients: &[pieces::ACS.to_owned()],
        destinations: &[pieces::ACS.to_owned()],
        request: exhibit.request.as_deref(),
        require,
        skew: TimeDelta::seconds(60),
        attributes: &AttributeNames::default(),
        user_domains: &exhibit.user_domains,
        strict_certificates: exhibit.strict,
        decryption_keys: &service_keys(&exhibit.decryption),
        now: exhibit.at,
    })
}

#[test]
fn every_file_is_in_the_manifest_and_every_entry_has_its_file_and_twin() {
    let manifest = manifest();
    let listed: BTreeSet<String> = manifest
        .iter()
        .map(|exhibit| exhibit.file.clone())
        .collect();
    assert_eq!(listed.len(), manifest.len(), "a file is listed twice");
    let mut found = BTreeSet::new();
    for hall in ["valid", "attacks"] {
        for entry in std::fs::read_dir(folder().join(hall)).unwrap() {
            found.insert(format!(
                "{hall}/{}",
                entry.unwrap().file_name().to_string_lossy()
            ));
        }
    }
    assert_eq!(listed, found);
    let good: BTreeMap<_, _> = manifest
        .iter()
        .map(|e| (e.file.clone(), e.expect == "accepted"))
        .collect();
    for exhibit in &manifest {
        let accepted = exhibit.expect == "accepted";
        assert_eq!(
            accepted,
            exhibit.file.starts_with("valid/"),
            "{}",
            exhibit.file
        );
        assert!(
            accepted || Refusal::CODES.contains(&exhibit.expect.as_str()),
            "{}",
            exhibit.expect
        );
        let twin = exhibit.twin.as_ref().map(|twin| good.get(twin));
        assert!(
            accepted || twin == Some(Some(&true)),
            "{} has no good twin",
            exhibit.file
        );
    }
}

#[test]
fn the_fixtures_are_what_their_pieces_make() {
    let here = folder();
    let manifest = manifest();
    for (exhibit, document) in pieces::all(&here) {
        assert!(
            manifest.contains(&exhibit),
            "{}: bless the fixtures again",
            exhibit.file
        );
        let kept = std::fs::read(here.join(&exhibit.file)).unwrap();
        assert!(
            kept == document,
            "{}: bless the fixtures again",
            exhibit.file
        );
    }
}

#[test]
fn explain_never_disagrees_with_verify() {
    prepare().unwrap();
    for exhibit in manifest() {
        let trust = trust(&exhibit.metadata, exhibit.at);
        let body = form(&std::fs::read(folder().join(&exhibit.file)).unwrap());
        let kind = Some("application/x-www-form-urlencoded");
        let raw = RawResponse::from_form(kind, None, body.as_bytes())
            .unwrap()
            .response;
        let said = judge(&exhibit, &trust, &body)
            .err()
            .map(|refusal| refusal.code());
        let examined = with_expectation(&exhibit, &trust, |expectation| {
            examine(raw, |_| Some(Expectation { ..*expectation }))
        });
        assert_eq!(
            examined.refusal.as_ref().map(Refusal::code),
            said,
            "{}",
            exhibit.file
        );
        let all_held = examined.checks.iter().all(|check| check.ok);
        assert_eq!(all_held, said.is_none(), "{}", exhibit.file);
        for check in examined.checks.iter().filter(|check| !check.ok) {
            assert!(
                !check.mend.is_empty() && !check.found.contains('\n'),
                "{check:?}"
            );
        }
    }
}

#[test]
fn an_accepted_response_says_what_was_signed() {
    prepare().unwrap();
    let manifest = manifest();
    let exhibit = manifest
        .iter()
        .find(|e| e.file == "valid/okta-like.xml")
        .unwrap();
    let document = std::fs::read(folder().join(&exhibit.file)).unwrap();
    let verified = judge(
        exhibit,
        &trust(&exhibit.metadata, exhibit.at),
        &form(&document),
    )
    .unwrap();
    assert_eq!(verified.user().as_str(), "alice@example.org");
    assert_eq!(verified.issuer(), pieces::IDP);
    assert_eq!(verified.replay_ids().len(), 1);
    assert!(verified.remember_until() >= exhibit.at + TimeDelta::hours(24));
    let (parts, proof) = verified.into_parts();
    let roles: Vec<&str> = parts
        .offers
        .iter()
        .map(|offer| offer.role.as_str())
        .collect();
    assert_eq!(
        roles,
        [
            "arn:aws:iam::123456789012:role/data-scientist",
            "arn:aws:iam::123456789012:role/team/reader"
        ]
    );
    assert_eq!(parts.session_duration.unwrap().seconds(), 7200);
    assert_eq!(proof.encoded.expose(), STANDARD.encode(&document));
    assert_eq!(proof.recipient, pieces::ACS);
    assert_eq!(parts.forwarding.unwrap().audiences, [pieces::AUDIENCE]);
}

#[test]
fn a_bad_role_value_is_a_refused_offer_and_stops_no_other() {
    prepare().unwrap();
    let manifest = manifest();
    for (name, offered, refused) in [
        ("okta-like", 2, 0),
        ("att-role-missing", 0, 0),
        ("att-role-empty", 0, 1),
        ("att-role-nil", 0, 1),
        ("att-role-near-miss-names", 0, 0),
        ("att-role-odd-separators", 0, 3),
        ("att-role-of-another-account", 0, 1),
        ("att-role-wildcards", 0, 3),
        ("att-role-with-markup", 0, 2),
    ] {
        let file = format!("valid/{name}.xml");
        let exhibit = manifest.iter().find(|e| e.file == file).unwrap();
        let document = std::fs::read(folder().join(&file)).unwrap();
        let trust = trust(&exhibit.metadata, exhibit.at);
        let (parts, _) = judge(exhibit, &trust, &form(&document))
            .unwrap()
            .into_parts();
        assert_eq!(
            (parts.offers.len(), parts.refused_offers.len()),
            (offered, refused),
            "{name}"
        );
    }
}

#[test]
fn a_signed_response_is_accepted_once_by_either_id() {
    prepare().unwrap();
    let manifest = manifest();
    let ids = |file: &str| {
        let exhibit = manifest.iter().find(|e| e.file == file).unwrap();
        let document = std::fs::read(folder().join(file)).unwrap();
        judge(
            exhibit,
            &trust(&exhibit.metadata, exhibit.at),
            &form(&document),
        )
        .unwrap()
        .replay_ids()
    };
    let (assertion, response, both) = (
        ids("valid/okta-like.xml"),
        ids("valid/response-signed.xml"),
        ids("valid/both-signed.xml"),
    );
    assert_eq!((assertion.len(), response.len()), (1, 2));
    assert_eq!(response, both);
    assert!(
        both.contains(&assertion[0]),
        "the same assertion in another response is the same"
    );
}

#[test]
fn explain_shows_the_gate_to_a_stranger_and_nothing_that_he_says() {
    prepare().unwrap();
    let document = std::fs::read_to_string(folder().join(pieces::GOOD)).unwrap();
    let raw = RawResponse::from_text(&document).unwrap();
    let examined = examine(raw, |response| {
        assert_eq!(response.issuer_hint(), pieces::IDP);
        assert_eq!(response.request_hint(), None);
        None
    });
    assert!(examined.subject.is_none());
    let last = examined.checks.last().unwrap();
    assert_eq!((last.check.as_str(), last.ok), ("issuer", false));
    assert_eq!(examined.checks.iter().filter(|check| check.ok).count(), 6);
}

#[test]
fn explain_goes_on_after_a_condition_that_failed() {
    prepare().unwrap();
    let manifest = manifest();
    let exhibit = manifest
        .iter()
        .find(|e| e.file == "attacks/cond-04-audience.xml")
        .unwrap();
    let document = std::fs::read_to_string(folder().join(&exhibit.file)).unwrap();
    let trust = trust(&exhibit.metadata, exhibit.at);
    let raw = RawResponse::from_text(&document).unwrap();
    let examined = with_expectation(exhibit, &trust, |expectation| {
        examine(raw, |_| Some(Expectation { ..*expectation }))
    });
    let failed: Vec<&str> = examined
        .checks
        .iter()
        .filter(|c| !c.ok)
        .map(|c| c.check.as_str())
        .collect();
    assert_eq!(failed, ["audience"]);
    assert_eq!(examined.checks.last().unwrap().check, "user_domain");
}

#[test]
fn threads_do_not_disturb_each_other() {
    prepare().unwrap();
    let manifest = manifest();
    let pick = |file: &str| {
        let exhibit = manifest.iter().find(|e| e.file == file).unwrap();
        let body = form(&std::fs::read(folder().join(file)).unwrap());
        (exhibit, trust(&exhibit.metadata, exhibit.at), body)
    };
    let (good, bad) = (
        pick("valid/both-signed.xml"),
        pick("attacks/sig-03-other-key.xml"),
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert!(judge(good.0, &good.1, &good.2).is_ok());
                    let refused = judge(bad.0, &bad.1, &bad.2).unwrap_err();
                    assert_eq!(refused.code(), "signature_invalid");
                }
            });
        }
    });
}

/// A signature by ECDSA is never twice the same, so that it cannot be a fixture.
#[test]
fn ecdsa_verifies_and_another_kind_of_key_does_not() {
    prepare().unwrap();
    let exhibit = manifest()
        .into_iter()
        .find(|e| e.file == "valid/okta-like.xml")
        .unwrap();
    let ec = forge::Key::load(&folder(), "ec");
    let document = pieces::signed_by(&ec, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256");
    let body = form(document.as_bytes());
    let trusted = trust("idp-ec.xml", exhibit.at);
    assert!(judge(&exhibit, &trusted, &body).is_ok());
    let refused = judge(&exhibit, &trust("idp.xml", exhibit.at), &body).unwrap_err();
    assert_eq!(refused.code(), "signature_invalid");
}

#[test]
fn the_second_key_of_a_provider_counts_too() {
    prepare().unwrap();
    for mut exhibit in manifest().into_iter().filter(|e| e.metadata == "idp.xml") {
        exhibit.metadata = "idp-two-keys.xml".to_owned();
        let body = form(&std::fs::read(folder().join(&exhibit.file)).unwrap());
        let outcome = judge(&exhibit, &trust(&exhibit.metadata, exhibit.at), &body);
        // The other key is trusted now, so that a signature by it is a good one.
        let by_other = ["SIG-03", "SIG-04", "SIG-11"].contains(&exhibit.id.as_str())
            || [
                "enc-02-cbc-response-signed-by-other",
                "enc-06-signed-by-other",
            ]
            .iter()
            .any(|name| exhibit.file.contains(name));
        if !by_other {
            let found = outcome.as_ref().map_or_else(Refusal::code, |_| "accepted");
            assert_eq!(found, exhibit.expect, "{}", exhibit.file);
        }
    }
}

#[test]
fn references_open_no_file_no_fifo_and_no_connection() {
    prepare().unwrap();
    let exhibit = manifest()
        .into_iter()
        .find(|e| e.file == "valid/okta-like.xml")
        .unwrap();
    let good = String::from_utf8(std::fs::read(folder().join(&exhibit.file)).unwrap()).unwrap();
    let trust = trust(&exhibit.metadata, exhibit.at);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for uri in [
        format!("http://127.0.0.1:{port}/x"),
        "file:///dev/zero".to_owned(),
        format!("file://{}", fifo.display()),
        fifo.display().to_string(),
        "/dev/zero".to_owned(),
    ] {
        let bad = good.replace("URI=\"#_a1\"", &format!("URI=\"{uri}\""));
        assert_ne!(bad, good);
        let begun = worked();
        let refused = judge(&exhibit, &trust, &form(bad.as_bytes())).unwrap_err();
        assert_eq!(refused.code(), "reference", "{uri}");
        let spent = worked().saturating_sub(begun);
        assert!(spent < Duration::from_secs(1), "{uri} took {spent:?}");
    }
    let nobody = listener.accept().unwrap_err();
    assert_eq!(
        nobody.kind(),
        std::io::ErrorKind::WouldBlock,
        "somebody called"
    );
}

/// Behind the gate, should it ever be wrong: xmlsec itself can open nothing after [`prepare`].
#[test]
fn the_library_itself_opens_nothing() {
    use samael::crypto::{CertificateDer, Crypto, CryptoProvider, ReduceMode};
    prepare().unwrap();
    let good = std::fs::read_to_string(folder().join("valid/okta-like.xml")).unwrap();
    let pem = std::fs::read(folder().join("idp.crt")).unwrap();
    let der = openssl::x509::X509::from_pem(&pem)
        .unwrap()
        .to_der()
        .unwrap();
    let key = [CertificateDer::from(der)];
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = |xml: &str| Crypto::reduce_xml_to_signed(xml, &key, ReduceMode::PreDigest);
    assert!(run(&good).is_ok());
    for uri in [
        format!("http://127.0.0.1:{port}/x"),
        "file:///dev/zero".to_owned(),
    ] {
        let bad = good.replace("URI=\"#_a1\"", &format!("URI=\"{uri}\""));
        let begun = worked();
        assert!(run(&bad).is_err(), "{uri}");
        let spent = worked().saturating_sub(begun);
        assert!(spent < Duration::from_secs(1), "{uri} took {spent:?}");
    }
    assert!(listener.accept().is_err(), "somebody called");
}
