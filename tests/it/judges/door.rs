//! The door under test: the way from a posted document to what is read of it, as a gateway takes it.

use chrono::{DateTime, TimeDelta, Utc};
use rolegate::model::{ReplayId, SignIn, SubjectParts};
use rolegate::saml::{
    AttributeNames, Expectation, RawResponse, Refusal, RequireSigned, Trust, VerifiedAssertion,
    examine, metadata, prepare, verify,
};

/// A gateway's view of one provider, at one moment.
pub(crate) struct Door {
    trust: Trust,
    /// The metadata that the keys came from.
    pub(crate) metadata: String,
    pub(crate) acs: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) request: Option<String>,
    pub(crate) require: RequireSigned,
    pub(crate) strict_certificates: bool,
    pub(crate) user_domains: Vec<String>,
    pub(crate) now: DateTime<Utc>,
}

/// Everything that is read of an accepted response, but the document itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) parts: SubjectParts,
    pub(crate) assertion_id: String,
    pub(crate) issuer: String,
    pub(crate) recipient: String,
    pub(crate) name_id: String,
    pub(crate) issued_at: DateTime<Utc>,
    pub(crate) remember_until: DateTime<Utc>,
    pub(crate) in_response_to: Option<String>,
    pub(crate) replay_ids: Vec<ReplayId>,
}

impl Reading {
    fn of(verified: VerifiedAssertion) -> Self {
        let assertion_id = verified.assertion_id().to_owned();
        let remember_until = verified.remember_until();
        let in_response_to = verified.in_response_to().map(str::to_owned);
        let replay_ids = verified.replay_ids();
        let (parts, proof) = verified.into_parts();
        Self {
            parts,
            assertion_id,
            issuer: proof.issuer,
            recipient: proof.recipient,
            name_id: proof.name_id,
            issued_at: proof.issued_at,
            remember_until,
            in_response_to,
            replay_ids,
        }
    }

    /// Whether `self`, read of a changed copy, says what `original` says.
    ///
    /// The Response's own IssueInstant may be unsigned. It can only make the response older than it is, and
    /// so end its use at STS sooner. Of two signatures the Response's may be taken away where it is not
    /// required: then its ID is nothing to remember, and the Assertion's still is.
    pub(crate) fn says(&self, original: &Self) -> bool {
        let mut alike = self.clone();
        if self.issued_at <= original.issued_at {
            alike.issued_at = original.issued_at;
            alike.parts.issued_at = original.parts.issued_at;
        }
        if self.replay_ids == original.replay_ids[..1] {
            alike.replay_ids.clone_from(&original.replay_ids);
        }
        alike == *original
    }
}

impl Door {
    /// A door for the ACS of the fixtures, to the provider with this metadata.
    pub(crate) fn new(metadata_xml: &str, now: DateTime<Utc>) -> Self {
        prepare().unwrap();
        let name = "judged".parse().unwrap();
        let trust = metadata::read_idp(&name, metadata_xml.as_bytes(), now, false).unwrap();
        Self {
            trust,
            metadata: metadata_xml.to_owned(),
            acs: "https://gate.example.org/saml/acs".to_owned(),
            audiences: vec![
                "urn:amazon:webservices".to_owned(),
                "https://gate.example.org/saml".to_owned(),
            ],
            request: None,
            require: RequireSigned::Assertion,
            strict_certificates: false,
            user_domains: Vec::new(),
            now,
        }
    }

    /// Holds `document` up: what is read of it, or the code of the refusal.
    ///
    /// `examine` is asked the same, and must say the same.
    pub(crate) fn judge(&self, document: &str) -> Result<Reading, &'static str> {
        self.judge_raw(|| RawResponse::from_text(document).map_err(|error| error.code()))
    }

    /// As [`Door::judge`], with the response made by `raw`, which is called twice.
    pub(crate) fn judge_raw(
        &self,
        raw: impl Fn() -> Result<RawResponse, &'static str>,
    ) -> Result<Reading, &'static str> {
        let response = raw()?;
        let expectation = self.expectation();
        let verified = response
            .read()
            .and_then(|response| verify(response, &expectation));
        let examined = examine(raw()?, |_| Some(self.expectation()));
        let said = verified.as_ref().err().map(Refusal::code);
        assert_eq!(examined.refusal.as_ref().map(Refusal::code), said);
        assert_eq!(examined.checks.iter().all(|check| check.ok), said.is_none());
        let reading = verified
            .map(Reading::of)
            .map_err(|refusal| refusal.code())?;
        assert_eq!(examined.subject.as_ref(), Some(&reading.parts));
        Ok(reading)
    }

    fn expectation(&self) -> Expectation<'_> {
        static NAMES: std::sync::LazyLock<AttributeNames> =
            std::sync::LazyLock::new(AttributeNames::default);
        let acs = std::slice::from_ref(&self.acs);
        Expectation {
            trust: &self.trust,
            audiences: &self.audiences,
            recipients: acs,
            destinations: acs,
            request: self.request.as_deref(),
            require: self.require,
            skew: TimeDelta::seconds(60),
            attributes: &NAMES,
            user_domains: &self.user_domains,
            strict_certificates: self.strict_certificates,
            decryption_keys: &[],
            now: self.now,
        }
    }
}
