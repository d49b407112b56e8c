//! From an unverified response to a verified assertion: the one function, and the one proof.
//!
//! A pure function of (bytes, trust, expectation, now): no clock, no store, no network. What was signed
//! is all that is read. Whether the assertion was seen before is for the ledger to say.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::attributes::{AWS_ROLE, AWS_SESSION_DURATION, AWS_SESSION_NAME, Statements};
use super::conditions::{Condition, check_issuer, check_signed};
use super::context::Context;
use super::encrypted;
use super::gate::{Signed, UnverifiedResponse};
use super::refusal::Refusal;
use super::service_key::ServiceKey;
use super::signature;
use super::step::Step;
use super::time::later;
use super::trust::Trust;
use super::xml::Element;
use crate::model::{
    Forwarding, Person, ReplayId, SamlProof, Secret, SessionDuration, SignIn, SubjectParts,
    UserName,
};

/// Clocks get stepped: an id is remembered at least this long.
const REMEMBER_AT_LEAST: TimeDelta = TimeDelta::hours(24);

/// What a response must be to be taken.
#[derive(Debug)]
pub struct Expectation<'a> {
    /// The provider whose keys are tried.
    pub trust: &'a Trust,
    /// Who we are, as an audience: every restriction must name one.
    pub audiences: &'a [String],
    /// Where a confirmation may be sent to.
    pub recipients: &'a [String],
    /// Where a Response may be sent to.
    pub destinations: &'a [String],
    /// The request of ours that it must answer; `None`: it must answer none.
    pub request: Option<&'a str>,
    /// What must be signed.
    pub require: RequireSigned,
    /// How far the clocks may differ.
    pub skew: TimeDelta,
    /// What the attributes are called.
    pub attributes: &'a AttributeNames,
    /// The domains this provider may speak for; none means all.
    pub user_domains: &'a [String],
    /// Whether an expired certificate refuses.
    pub strict_certificates: bool,
    /// What opens encrypted assertions; with none they are refused.
    pub decryption_keys: &'a [ServiceKey],
    /// The time of this request.
    pub now: DateTime<Utc>,
}

/// What must be signed. The Assertion is covered in every case, by its own signature or the Response's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequireSigned {
    /// The Assertion, by either signature.
    Assertion,
    /// The Response, by its own.
    Response,
    /// Each by its own.
    Both,
}

/// What the attributes are called; the default is AWS's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeNames {
    /// The attribute whose value is the user.
    pub user: String,
    /// Roles, or pairs of role and provider.
    pub role: String,
    /// Seconds.
    pub session_duration: String,
    /// The name of the AWS session.
    pub role_session_name: String,
}

impl Default for AttributeNames {
    fn default() -> Self {
        Self {
            user: AWS_SESSION_NAME.to_owned(),
            role: AWS_ROLE.to_owned(),
            session_duration: AWS_SESSION_DURATION.to_owned(),
            role_session_name: AWS_SESSION_NAME.to_owned(),
        }
    }
}

/// An assertion that was signed by the provider, is addressed to us and is valid now.
///
/// Made by [`verify`] alone. No Clone, no Default, no Deserialize: holding one is the evidence.
#[derive(Debug)]
pub struct VerifiedAssertion {
    parts: SubjectParts,
    proof: SamlProof,
    assertion_id: String,
    replay_ids: Vec<ReplayId>,
    remember_until: DateTime<Utc>,
    in_response_to: Option<String>,
}

impl VerifiedAssertion {
    /// The Assertion's ID.
    pub fn assertion_id(&self) -> &str {
        &self.assertion_id
    }

    /// The provider's entity id.
    pub fn issuer(&self) -> &str {
        &self.proof.issuer
    }

    /// The user.
    pub fn user(&self) -> &UserName {
        &self.parts.person.user
    }
}

impl SignIn for VerifiedAssertion {
    type Proof = SamlProof;

    fn replay_ids(&self) -> Vec<ReplayId> {
        self.replay_ids.clone()
    }

    fn remember_until(&self) -> DateTime<Utc> {
        self.remember_until
    }

    fn in_response_to(&self) -> Option<&str> {
        self.in_response_to.as_deref()
    }

    fn into_parts(self) -> (SubjectParts, SamlProof) {
        (self.parts, self.proof)
    }
}

/// Verifies `response`: its Issuer, every signature, then every condition, over the signed bytes alone.
pub fn verify(
    response: UnverifiedResponse,
    expectation: &Expectation<'_>,
) -> Result<VerifiedAssertion, Refusal> {
    let covered = covered(&response, expectation, &mut |_| {})?;
    let root = covered.read(&response)?;
    let assertion = signature::assertion(&root)?;
    let made = {
        let context = context(&response, &covered, assertion, expectation);
        for condition in Condition::ALL {
            condition.check(&context)?;
        }
        Made::from(&context)?
    };
    Ok(made.with_document(response))
}

/// The bytes that were signed, and how.
pub(super) struct Covered {
    text: String,
    signed: Signed,
    encrypted: bool,
}

impl Covered {
    /// An assertion that came encrypted.
    pub(super) fn decrypted(text: String, signed: Signed) -> Self {
        Self {
            text,
            signed,
            encrypted: true,
        }
    }

    /// Reads the bytes, which must be what the gate saw.
    pub(super) fn read(&self, response: &UnverifiedResponse) -> Result<Element<'_>, Refusal> {
        if self.encrypted {
            encrypted::read(&self.text)
        } else {
            signature::read(&self.text, response.view())
        }
    }
}

/// The signed bytes, if the Issuer is the expected one and enough is signed.
pub(super) fn covered(
    response: &UnverifiedResponse,
    expectation: &Expectation<'_>,
    passed: &mut dyn FnMut(Step),
) -> Result<Covered, Refusal> {
    check_issuer(response.view(), expectation.trust.entity_id())?;
    if response.is_encrypted() {
        return encrypted::covered(response, expectation, passed);
    }
    let signed = response.view().signed;
    check_signed(signed, expectation.require)?;
    let text = signature::covered(response.xml(), signed, expectation)?;
    passed(Step::Signature);
    Ok(Covered {
        text,
        signed,
        encrypted: false,
    })
}

pub(super) fn context<'c>(
    response: &'c UnverifiedResponse,
    covered: &'c Covered,
    assertion: &'c Element<'c>,
    expectation: &'c Expectation<'c>,
) -> Context<'c> {
    Context {
        assertion,
        response: &response.view().response,
        signed: covered.signed,
        encrypted: covered.encrypted,
        expectation,
        statements: Statements::read(assertion),
    }
}

/// Everything about a verified assertion but the document itself.
struct Made {
    parts: SubjectParts,
    issued_at: DateTime<Utc>,
    issuer: String,
    recipient: String,
    name_id: String,
    assertion_id: String,
    replay_ids: Vec<ReplayId>,
    remember_until: DateTime<Utc>,
    in_response_to: Option<String>,
}

impl Made {
    fn from(context: &Context<'_>) -> Result<Self, Refusal> {
        let expectation = context.expectation;
        let issuer = expectation.trust.entity_id();
        let assertion_id = context.assertion.attribute("ID").unwrap_or_default();
        let over = later(context.ends_at()?, expectation.skew);
        Ok(Self {
            parts: subject_parts(context)?,
            issued_at: context.issued_at()?,
            issuer: issuer.to_owned(),
            recipient: context.recipient()?.to_owned(),
            name_id: context.name_id()?.to_owned(),
            assertion_id: assertion_id.to_owned(),
            replay_ids: replay_ids(context),
            remember_until: over.max(later(expectation.now, REMEMBER_AT_LEAST)),
            in_response_to: context.answered_request()?.map(str::to_owned),
        })
    }

    fn with_document(self, response: UnverifiedResponse) -> VerifiedAssertion {
        VerifiedAssertion {
            parts: self.parts,
            proof: SamlProof {
                encoded: Secret::new(response.into_encoded()),
                issued_at: self.issued_at,
                issuer: self.issuer,
                recipient: self.recipient,
                name_id: self.name_id,
            },
            assertion_id: self.assertion_id,
            replay_ids: self.replay_ids,
            remember_until: self.remember_until,
            in_response_to: self.in_response_to,
        }
    }
}

/// What the assertion says, once nothing speaks against it.
pub(super) fn subject_parts(context: &Context<'_>) -> Result<SubjectParts, Refusal> {
    let said = Said {
        user: context.user()?,
        session_duration: context.session_duration()?,
        audiences: context.audiences()?,
        issued_at: context.issued_at()?,
        not_after: context.session_end()?,
    };
    Ok(said.into_parts(context))
}

/// What of the assertion can be read although a condition failed: for `explain`, which decides with it
/// and signs nobody in. What is wrong counts as absent.
pub(super) fn readable_parts(context: &Context<'_>) -> Option<SubjectParts> {
    let said = Said {
        user: context.user().ok()?,
        session_duration: context.session_duration().unwrap_or_default(),
        audiences: context.audiences().unwrap_or_default(),
        issued_at: context.issued_at().unwrap_or(context.expectation.now),
        not_after: context.session_end().unwrap_or_default(),
    };
    Some(said.into_parts(context))
}

struct Said<'c> {
    user: UserName,
    session_duration: Option<SessionDuration>,
    audiences: Vec<&'c str>,
    issued_at: DateTime<Utc>,
    not_after: Option<DateTime<Utc>>,
}

impl Said<'_> {
    fn into_parts(self, context: &Context<'_>) -> SubjectParts {
        let expectation = context.expectation;
        let offers = context.offers();
        SubjectParts {
            person: Person {
                idp: expectation.trust.name().clone(),
                user: self.user,
            },
            attributes: context.attributes(),
            offers: offers.offers,
            refused_offers: offers.refused,
            session_duration: self.session_duration,
            assigned: false,
            web_identity: None,
            forwarding: Some(Forwarding {
                audiences: self.audiences.into_iter().map(str::to_owned).collect(),
                role_attribute_is_aws: expectation.attributes.role == AWS_ROLE,
                role_session_name: context.aws_session_name(),
                encrypted: context.encrypted,
            }),
            issued_at: self.issued_at,
            not_after: self.not_after,
            logout: context.logout_handle(),
        }
    }
}

/// What the ledger is asked for: the Assertion, and the Response where its own signature covers it.
pub(super) fn replay_ids(context: &Context<'_>) -> Vec<ReplayId> {
    let issuer = context.expectation.trust.entity_id();
    let assertion = context.assertion.attribute("ID").unwrap_or_default();
    let mut ids = vec![replay_id("assertion", issuer, assertion)];
    if context.signed.response.is_some() {
        ids.push(replay_id("response", issuer, &context.response.id));
    }
    ids
}

/// `sha256(kind, issuer, id)`, each with its length in front, so that no two triples meet.
pub(super) fn replay_id(kind: &str, issuer: &str, id: &str) -> ReplayId {
    let mut hash = openssl::sha::Sha256::new();
    for part in [kind, issuer, id] {
        hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    ReplayId(hash.finish())
}
