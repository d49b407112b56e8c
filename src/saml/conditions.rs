//! What a verified assertion must say before it signs anybody in.
//!
//! Every condition stands in one table, in the order in which it is asked; `verify` stops at the first that
//! fails, `explain` goes on. One `now` serves them all.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::context::{Context, Seen};
use super::gate::{Signed, View};
use super::refusal::{Refusal, cut, listed};
use super::verify::{Expectation, RequireSigned};

/// The one good status.
pub(super) const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

/// The conditions; see [`Condition::ALL`] for their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Issuer,
    Signed,
    Version,
    Status,
    Destination,
    InResponseTo,
    IssueInstant,
    Window,
    KnownConditions,
    Audience,
    Subject,
    Confirmation,
    Recipient,
    AuthnStatement,
    AttributesOnce,
    SessionDuration,
    SessionName,
    User,
    UserDomain,
}

impl Condition {
    pub(super) const ALL: [Self; 19] = [
        Self::Issuer,
        Self::Signed,
        Self::Version,
        Self::Status,
        Self::Destination,
        Self::InResponseTo,
        Self::IssueInstant,
        Self::Window,
        Self::KnownConditions,
        Self::Audience,
        Self::Subject,
        Self::Confirmation,
        Self::Recipient,
        Self::AuthnStatement,
        Self::AttributesOnce,
        Self::SessionDuration,
        Self::SessionName,
        Self::User,
        Self::UserDomain,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Signed => "signed",
            Self::Version => "version",
            Self::Status => "status",
            Self::Destination => "destination",
            Self::InResponseTo => "in_response_to",
            Self::IssueInstant => "issue_instant",
            Self::Window => "validity",
            Self::KnownConditions => "known_conditions",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Confirmation => "confirmation",
            Self::Recipient => "recipient",
            Self::AuthnStatement => "authn_statement",
            Self::AttributesOnce => "attributes_once",
            Self::SessionDuration => "session_duration",
            Self::SessionName => "session_name",
            Self::User => "user",
            Self::UserDomain => "user_domain",
        }
    }

    /// What is wanted, for `explain`.
    pub(super) fn expected(self, expectation: &Expectation<'_>) -> String {
        let list = |items: &[String]| listed(items.iter().map(String::as_str));
        match self {
            Self::Issuer => format!(
                "{:?} on Assertion and Response",
                expectation.trust.entity_id()
            ),
            Self::Signed => match expectation.require {
                RequireSigned::Assertion => {
                    "the Assertion, by its own signature or the Response's".to_owned()
                }
                RequireSigned::Response => "the Response".to_owned(),
                RequireSigned::Both => "the Response and the Assertion".to_owned(),
            },
            Self::Version => "2.0".to_owned(),
            Self::Status => SUCCESS.to_owned(),
            Self::Destination => format!("{} or absent", list(expectation.destinations)),
            Self::InResponseTo => expected_request(expectation),
            Self::IssueInstant => "within the last 5 minutes".to_owned(),
            Self::Window => "now within NotBefore and NotOnOrAfter".to_owned(),
            Self::KnownConditions => "AudienceRestriction, OneTimeUse, ProxyRestriction".to_owned(),
            Self::Audience => format!(
                "{} in every AudienceRestriction",
                list(expectation.audiences)
            ),
            Self::Subject => "one Subject with one NameID".to_owned(),
            Self::Confirmation => "one bearer confirmation that has not ended".to_owned(),
            Self::Recipient => list(expectation.recipients),
            Self::AuthnStatement => "an AuthnStatement whose session has not ended".to_owned(),
            Self::AttributesOnce => "each attribute that rolegate reads at most once".to_owned(),
            Self::SessionDuration => "whole seconds from 900 to 43200, or absent".to_owned(),
            Self::SessionName => "2 to 64 of A-Z a-z 0-9 _ + = , . @ -, or absent".to_owned(),
            Self::User => format!("one value of {:?}", expectation.attributes.user),
            Self::UserDomain if expectation.user_domains.is_empty() => "any domain".to_owned(),
            Self::UserDomain => list(expectation.user_domains),
        }
    }

    /// Asks it. What was found, or why the response is refused.
    pub(super) fn check<'c>(self, context: &Context<'c>) -> Result<Seen<'c>, Refusal> {
        match self {
            Self::Issuer => context.issuers(),
            Self::Signed => check_signed(context.signed, context.expectation.require),
            Self::Version => context.versions(),
            Self::Status => context.status(),
            Self::Destination => context.destination(),
            Self::InResponseTo => context.in_response_to(),
            Self::IssueInstant => context.issued_at().map(shown),
            Self::Window => context.window(),
            Self::KnownConditions => context.known_conditions(),
            Self::Audience => context.audiences().map(|found| listed(found).into()),
            Self::Subject => context.name_id().map(Cow::Borrowed),
            Self::Confirmation => context.confirmed_until().map(shown),
            Self::Recipient => context.recipient().map(Cow::Borrowed),
            Self::AuthnStatement => context
                .session_end()
                .map(|end| end.map_or("no end".into(), shown)),
            Self::AttributesOnce => context.attributes_once(),
            Self::SessionDuration => context
                .session_duration()
                .map(|found| found.map_or("absent".into(), |d| d.to_string().into())),
            Self::SessionName => context
                .session_name()
                .map(|found| found.map_or("absent".into(), |n| n.to_string().into())),
            Self::User => context.user().map(|user| user.to_string().into()),
            Self::UserDomain => context.user_domain(),
        }
    }
}

fn shown<'c>(time: DateTime<Utc>) -> Seen<'c> {
    Cow::Owned(crate::model::rfc3339(time))
}

/// What `InResponseTo` should be.
pub(super) fn expected_request(expectation: &Expectation<'_>) -> String {
    expectation.request.map_or_else(
        || "absent: no request of ours is open for it".to_owned(),
        |id| format!("{id:?} in the SubjectConfirmationData"),
    )
}

/// `require_signed`. That the Assertion is covered at all, the gate has seen and the engine verified.
pub(super) fn check_signed<'c>(
    signed: Signed,
    require: RequireSigned,
) -> Result<Seen<'c>, Refusal> {
    let needs = |element: &'static str| Err(Refusal::SignatureRequired { element });
    match (require, signed.response, signed.assertion) {
        (RequireSigned::Response | RequireSigned::Both, None, _) => needs("Response"),
        (RequireSigned::Both, _, None) => needs("Assertion"),
        (_, Some(_), Some(_)) => Ok("Response and Assertion".into()),
        (_, Some(_), None) => Ok("Response".into()),
        (_, None, _) => Ok("Assertion".into()),
    }
}

/// The Issuer chooses the keys: asked before any key is tried, and again of what was verified.
pub(super) fn check_issuer(view: &View, entity_id: &str) -> Result<(), Refusal> {
    if view.assertion_issuer == entity_id {
        return Ok(());
    }
    Err(Refusal::Issuer {
        found: cut(&view.assertion_issuer),
        expected: cut(entity_id),
    })
}
