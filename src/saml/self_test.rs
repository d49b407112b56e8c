//! The start-up self-test: one document that must verify and one that must not.
//!
//! Both are fixtures, signed with the key of `fixtures/saml/idp.key`, read at the time they were made
//! for. The test proves that xmlsec is there, that it refuses, and that it still verifies after its
//! ways to open addresses were taken away. That key is public and trusted by nothing but this file.

use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use super::trust::Trust;
use super::verify::{AttributeNames, Expectation, RequireSigned, verify};
use super::{RawResponse, Refusal, engine, metadata};

const METADATA: &[u8] = include_bytes!("../../fixtures/saml/idp.xml");
const GOOD: &str = include_str!("../../fixtures/saml/valid/self-test.xml");
const BAD: &str = include_str!("../../fixtures/saml/attacks/self-test.xml");
/// 2026-01-15T12:00:00Z: when the fixtures are valid.
const NOW: i64 = 1_768_478_400;

/// Why the self-test failed; rolegate must not start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SelfTestError {
    /// The built-in metadata, document or time cannot be read.
    #[error("the built-in documents cannot be read; the program file is damaged, install it again")]
    BuiltIn,
    /// The good document was refused.
    #[error(
        "a good SAML response was refused ({0}); install libxml2 and xmlsec1 with its OpenSSL part (Debian: libxmlsec1-openssl)"
    )]
    GoodRefused(&'static str),
    /// The bad document was taken.
    #[error("a forged SAML response was taken; do not use this build, and report it")]
    BadTaken,
    /// The bad document was refused for another reason than its signature.
    #[error(
        "a forged SAML response was refused for the wrong reason ({0}); do not use this build, and report it"
    )]
    BadRefusedOtherwise(&'static str),
}

/// Brings the signature library up and tests it. Call it on the main thread before others start, and
/// do not start if it fails; later calls return the first one's result.
pub fn prepare() -> Result<(), SelfTestError> {
    static RESULT: OnceLock<Result<(), SelfTestError>> = OnceLock::new();
    RESULT.get_or_init(run).clone()
}

/// Whether the library is up; brings it up if [`prepare`] was not called.
pub(super) fn engine_is_up() -> bool {
    static UP: OnceLock<bool> = OnceLock::new();
    *UP.get_or_init(|| {
        let key = trust().ok().and_then(|trust| trust.keys.into_iter().next());
        key.is_some_and(|key| engine::start(GOOD, &key.der))
    })
}

fn run() -> Result<(), SelfTestError> {
    let trust = trust()?;
    judge(GOOD, &trust)?.map_err(|refusal| SelfTestError::GoodRefused(refusal.code()))?;
    match judge(BAD, &trust)? {
        Ok(()) => Err(SelfTestError::BadTaken),
        Err(Refusal::SignatureInvalid {}) => Ok(()),
        Err(other) => Err(SelfTestError::BadRefusedOtherwise(other.code())),
    }
}

fn trust() -> Result<Trust, SelfTestError> {
    let name = "self-test".parse().map_err(|_| SelfTestError::BuiltIn)?;
    let read = metadata::read_idp(&name, METADATA, now()?, false);
    read.map_err(|_| SelfTestError::BuiltIn)
}

fn now() -> Result<DateTime<Utc>, SelfTestError> {
    DateTime::from_timestamp(NOW, 0).ok_or(SelfTestError::BuiltIn)
}

fn judge(xml: &str, trust: &Trust) -> Result<Result<(), Refusal>, SelfTestError> {
    let here = ["https://gate.example.org/saml/acs".to_owned()];
    let expectation = Expectation {
        trust,
        audiences: &["urn:amazon:webservices".to_owned()],
        recipients: &here,
        destinations: &here,
        request: None,
        require: RequireSigned::Assertion,
        skew: TimeDelta::zero(),
        attributes: &AttributeNames::default(),
        user_domains: &[],
        strict_certificates: false,
        decryption_keys: &[],
        now: now()?,
    };
    let raw = RawResponse::from_text(xml).map_err(|_| SelfTestError::BuiltIn)?;
    Ok(raw
        .read()
        .and_then(|response| verify(response, &expectation))
        .map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_there_and_refuses() {
        assert_eq!(prepare(), Ok(()));
        assert_eq!(prepare(), Ok(()), "it can be called again");
    }
}
