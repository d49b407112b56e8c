//! The door that the targets stand before: a gateway's view of the fixtures' provider, at the fixtures' time.
//!
//! Judges with the public functions alone, and asserts what must hold whatever was sent: `examine` says what
//! `verify` says, and no word of an accepted response differs between them.

#![allow(dead_code, reason = "each target uses a part of it")]

use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use rolegate::model::{Secret, SignIn, SubjectParts};
use rolegate::saml::{
    AttributeNames, Expectation, RawResponse, Refusal, RequireSigned, ServiceKey, Trust, examine,
    metadata, prepare, verify,
};

pub(crate) const METADATA: &str = include_str!("../../../fixtures/saml/idp.xml");
pub(crate) const SLO: &str = "https://gate.example.org/saml/slo";

/// When the fixtures are good.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-01-15T12:00:00Z".parse().unwrap()
}

/// The fixtures' provider; libxml2 is up once it is there.
pub(crate) static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    prepare().unwrap();
    metadata::read_idp(&"okta".parse().unwrap(), METADATA.as_bytes(), now(), false).unwrap()
});

/// Ours, so that what is encrypted is decrypted, and the plaintext held against the gate.
static KEYS: LazyLock<Vec<ServiceKey>> = LazyLock::new(|| {
    let private = Secret::new(include_str!("../../../fixtures/saml/sp.key").to_owned());
    let certificate = include_str!("../../../fixtures/saml/sp.crt");
    vec![ServiceKey::from_pem(&private, certificate).unwrap()]
});

static NAMES: LazyLock<AttributeNames> = LazyLock::new(AttributeNames::default);
static AUDIENCES: LazyLock<Vec<String>> = LazyLock::new(|| {
    vec![
        "urn:amazon:webservices".to_owned(),
        "https://gate.example.org/saml".to_owned(),
    ]
});
static ACS: LazyLock<Vec<String>> =
    LazyLock::new(|| vec!["https://gate.example.org/saml/acs".to_owned()]);

fn expectation() -> Expectation<'static> {
    Expectation {
        trust: &TRUST,
        audiences: &AUDIENCES,
        recipients: &ACS,
        destinations: &ACS,
        request: None,
        require: RequireSigned::Assertion,
        skew: TimeDelta::seconds(60),
        attributes: &NAMES,
        user_domains: &[],
        strict_certificates: false,
        decryption_keys: &KEYS,
        now: now(),
    }
}

/// What is read of a response, or the code of its refusal; asked twice, answered alike.
pub(crate) fn judge(
    raw: impl Fn() -> Option<RawResponse>,
) -> Option<Result<Reading, &'static str>> {
    let expectation = expectation();
    let verified = raw()?
        .read()
        .and_then(|response| verify(response, &expectation));
    let examined = examine(raw()?, |_| Some(self::expectation()));
    let said = verified.as_ref().err().map(Refusal::code);
    assert_eq!(examined.refusal.as_ref().map(Refusal::code), said);
    assert_eq!(examined.checks.iter().all(|check| check.ok), said.is_none());
    Some(verified.map_err(|refusal| refusal.code()).map(|verified| {
        let assertion_id = verified.assertion_id().to_owned();
        let ids = verified.replay_ids();
        let (parts, proof) = verified.into_parts();
        assert_eq!(proof.issuer, TRUST.entity_id());
        assert_eq!(examined.subject.as_ref(), Some(&parts));
        assert_eq!(examined.replay_ids, ids);
        Reading {
            assertion_id,
            parts,
        }
    }))
}

/// What was read of an accepted response.
pub(crate) struct Reading {
    pub(crate) assertion_id: String,
    pub(crate) parts: SubjectParts,
}

impl Reading {
    /// Whether both say the same of the same person. The Response's IssueInstant may be unsigned, and can
    /// only make it older.
    pub(crate) fn says(&self, original: &Self) -> bool {
        let mut parts = self.parts.clone();
        if parts.issued_at <= original.parts.issued_at {
            parts.issued_at = original.parts.issued_at;
        }
        self.assertion_id == original.assertion_id && parts == original.parts
    }
}
