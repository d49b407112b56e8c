//! Single logout (SAML 2.0 core, 3.7; profiles, 4.4): signed requests in, signed answers out.
//!
//! A logout request can only take rights away, yet a stranger's would end other people's work: so it is
//! read only signed, by a key of the provider whose Issuer it bears, addressed to us, and fresh. The
//! same gate stands before it as before a response; what is read of a posted one is the signed bytes.

mod sending;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use super::binding::{self, BindingError, Kind, QuerySignature};
use super::engine;
use super::gate;
use super::lexis::check_characters;
use super::refusal::{Refusal, cut, listed};
use super::self_test;
use super::signature_shape;
use super::structure::{check_clear, check_ids, check_names, each, unexpected};
use super::time::{self, earlier, later};
use super::trust::{SigningKey, Trust};
use super::xml::{self, Element, Limits, Space};
use crate::model::ReplayId;

pub use sending::LogoutSender;

/// The top status of an answer that went well.
const SUCCESS: &str = super::conditions::SUCCESS;
/// A message older than this was held back by somebody.
const MAX_AGE: TimeDelta = TimeDelta::minutes(5);

/// Why a logout message is not followed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogoutError {
    /// There is no message.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// The message is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl LogoutError {
    /// The stable name, for log and audit.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Binding(_) => "logout_message",
            Self::Refused(refusal) => refusal.code(),
        }
    }
}

/// How a message came.
#[derive(Debug, Clone, Copy)]
pub enum Delivery<'a> {
    /// By redirect: the query as it arrived.
    Redirect(&'a str),
    /// By POST: the form's body.
    Post(&'a [u8]),
}

/// A logout message that has a shape worth verifying, and not one word of which is believed.
#[derive(Debug)]
pub struct UnverifiedLogout {
    kind: Kind,
    xml: String,
    issuer: String,
    id: String,
    relay_state: Option<String>,
    signature: Signature,
}

/// Where the signature stands.
#[derive(Debug)]
enum Signature {
    Query(QuerySignature),
    Enveloped(signature_shape::KeyKind),
}

/// What holds for every logout message.
#[derive(Debug, Clone, Copy)]
pub struct LogoutExpectation<'a> {
    /// The provider whose keys are tried.
    pub trust: &'a Trust,
    /// Our single logout address.
    pub destination: &'a str,
    /// How far the clocks may differ.
    pub skew: TimeDelta,
    /// Whether an expired certificate refuses.
    pub strict_certificates: bool,
    /// The time of this request.
    pub now: DateTime<Utc>,
}

/// A logout message that the provider signed. Made by [`UnverifiedLogout::verify`] alone.
#[derive(Debug)]
pub enum VerifiedLogout {
    /// Somebody is to be signed out.
    Request(LogoutRequest),
    /// The provider's answer to ours: whether it signed the person out.
    Response {
        /// The request of ours that it answers.
        in_response_to: Option<String>,
        /// Whether the top status is Success.
        success: bool,
    },
}

/// Who is to be signed out.
#[derive(Debug)]
pub struct LogoutRequest {
    /// Its ID, which the answer repeats.
    pub id: String,
    /// The NameID's text.
    pub name_id: String,
    /// The sessions meant; none means all of them.
    pub session_indexes: Vec<String>,
    /// What the answer repeats.
    pub relay_state: Option<String>,
    /// What the ledger takes once.
    pub replay_id: ReplayId,
    /// Until when it must be remembered.
    pub remember_until: DateTime<Utc>,
}

/// Takes a message out of what arrived and holds it against the gate.
pub fn read(delivery: Delivery<'_>) -> Result<UnverifiedLogout, LogoutError> {
    let arrived = match delivery {
        Delivery::Redirect(query) => {
            let arrived = binding::read_query(query)?;
            if arrived.signature.is_none() {
                return Err(BindingError::Unsigned.into());
            }
            arrived
        }
        Delivery::Post(body) => binding::read_form(body)?,
    };
    let kind = arrived.kind;
    check_characters(&arrived.xml)?;
    let (id, issuer, enveloped) = {
        let root = xml::read(&arrived.xml, Limits::RESPONSE)?;
        let enveloped = check_shape(&root, kind)?;
        let issuer = root.only(Space::Assertion, "Issuer");
        let issuer = issuer.and_then(Element::text).unwrap_or_default();
        (
            root.attribute("ID").unwrap_or_default().to_owned(),
            issuer.to_owned(),
            enveloped,
        )
    };
    let signature = match (arrived.signature, enveloped) {
        (Some(query), None) => Signature::Query(query),
        (None, Some(kind)) => Signature::Enveloped(kind),
        (None, None) => return Err(BindingError::Unsigned.into()),
        // Bindings, 3.4.4.1: beside a query's signature the document carries none.
        (Some(_), Some(_)) => {
            let parent = root_of(kind).to_owned();
            return Err(Refusal::SignaturePlace { parent }.into());
        }
    };
    Ok(UnverifiedLogout {
        kind,
        xml: arrived.xml,
        issuer,
        id,
        relay_state: arrived.relay_state,
        signature,
    })
}

/// The gate's own rules: names in their namespaces, nothing encrypted, IDs once, and at most one signature, right
/// behind the Issuer and with none inside it. No assertion comes along.
fn check_shape(
    root: &Element<'_>,
    kind: Kind,
) -> Result<Option<signature_shape::KeyKind>, Refusal> {
    check_names(root)?;
    if !root.is(Space::Protocol, root_of(kind)) {
        return Err(Refusal::NotAResponse {
            found: cut(root.local),
        });
    }
    check_clear(root)?;
    each(root, &mut |element, parent| {
        if element.is(Space::Assertion, "Assertion") {
            return Err(unexpected(element, parent));
        }
        Ok(())
    })?;
    check_ids(root, root)?;
    gate::check_places(root, root)?;
    gate::signature_of(root)
}

fn root_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => "LogoutRequest",
        Kind::Response => "LogoutResponse",
    }
}

impl UnverifiedLogout {
    /// The Issuer as it stands there: whose keys to try, nothing more.
    pub fn issuer_hint(&self) -> &str {
        &self.issuer
    }

    /// Verifies the signature, then every condition, over the signed bytes alone.
    pub fn verify(self, expectation: &LogoutExpectation<'_>) -> Result<VerifiedLogout, Refusal> {
        let signed = self.signed(expectation)?;
        let root = xml::read(&signed, Limits::RESPONSE)?;
        check_shape(&root, self.kind)?;
        let id = root.attribute("ID").unwrap_or_default();
        if id != self.id {
            return Err(Refusal::VerifiedDiffers {
                what: "ID",
                before: cut(&self.id),
                verified: cut(id),
            });
        }
        check_conditions(&root, expectation)?;
        match self.kind {
            Kind::Response => Ok(VerifiedLogout::Response {
                in_response_to: root.attribute("InResponseTo").map(str::to_owned),
                success: is_success(&root),
            }),
            Kind::Request => {
                let request = request(&root, expectation)?;
                Ok(VerifiedLogout::Request(LogoutRequest {
                    relay_state: self.relay_state,
                    ..request
                }))
            }
        }
    }

    /// The bytes that a key of the provider signed.
    fn signed(&self, expectation: &LogoutExpectation<'_>) -> Result<String, Refusal> {
        let good =
            |key: &&SigningKey| !expectation.strict_certificates || expectation.now < key.not_after;
        let mut keys = expectation.trust.keys.iter().filter(good);
        let found = match &self.signature {
            Signature::Query(signature) => {
                let Some(kind) = signature.kind() else {
                    return Err(Refusal::SignatureAlgorithm {
                        found: cut(signature.algorithm()),
                    });
                };
                keys.any(|key| key.kind == kind && signature.verifies(key))
                    .then(|| self.xml.clone())
            }
            Signature::Enveloped(_) if !self_test::engine_is_up() => {
                return Err(Refusal::Engine {});
            }
            Signature::Enveloped(kind) => keys
                .filter(|key| key.kind == *kind)
                .find_map(|key| engine::reduce(&self.xml, &key.der)),
        };
        found.ok_or(Refusal::SignatureInvalid {})
    }
}

/// Core, 3.2.1 and 3.2.2: from the provider, to us, now.
fn check_conditions(
    root: &Element<'_>,
    expectation: &LogoutExpectation<'_>,
) -> Result<(), Refusal> {
    let issuer = root.only(Space::Assertion, "Issuer");
    let issuer = issuer.and_then(Element::text).unwrap_or_default();
    if issuer != expectation.trust.entity_id() {
        return Err(Refusal::Issuer {
            found: cut(issuer),
            expected: cut(expectation.trust.entity_id()),
        });
    }
    let version = root.attribute("Version").unwrap_or_default();
    if version != "2.0" {
        return Err(Refusal::Version {
            found: cut(version),
        });
    }
    // Bindings, 3.4.5.2 and 3.5.5.2: a signed message names where it goes.
    let destination = root.attribute("Destination").unwrap_or_default();
    if destination != expectation.destination {
        return Err(Refusal::Destination {
            found: cut(destination),
            expected: listed([expectation.destination]),
        });
    }
    let instant = read_time(root, "IssueInstant")?;
    let (now, skew) = (expectation.now, expectation.skew);
    if instant < earlier(now, MAX_AGE) || instant > later(now, skew) {
        return Err(Refusal::IssueInstant {
            what: "logout message",
            found: instant,
            now,
        });
    }
    Ok(())
}

fn read_time(root: &Element<'_>, name: &'static str) -> Result<DateTime<Utc>, Refusal> {
    let text = root.attribute(name).unwrap_or_default();
    time::parse(text).ok_or_else(|| Refusal::BadTime {
        what: name,
        found: cut(text),
    })
}

fn request(
    root: &Element<'_>,
    expectation: &LogoutExpectation<'_>,
) -> Result<LogoutRequest, Refusal> {
    let (now, skew) = (expectation.now, expectation.skew);
    if root.attribute("NotOnOrAfter").is_some() {
        let end = read_time(root, "NotOnOrAfter")?;
        if now >= later(end, skew) {
            return Err(Refusal::Expired {
                what: "logout request",
                not_on_or_after: end,
                now,
            });
        }
    }
    let name_id = root.only(Space::Assertion, "NameID");
    let name_id = name_id.and_then(Element::text).unwrap_or_default();
    if name_id.is_empty() {
        return Err(Refusal::Subject {
            what: "NameID",
            found: root.all(Space::Assertion, "NameID").count(),
        });
    }
    let id = root.attribute("ID").unwrap_or_default();
    let indexes = root.all(Space::Protocol, "SessionIndex");
    Ok(LogoutRequest {
        id: id.to_owned(),
        name_id: name_id.to_owned(),
        session_indexes: indexes
            .filter_map(Element::text)
            .map(str::to_owned)
            .collect(),
        relay_state: None,
        replay_id: super::verify::replay_id("logout", expectation.trust.entity_id(), id),
        // After this its IssueInstant refuses it; clocks get stepped.
        remember_until: later(now, TimeDelta::hours(24)),
    })
}

fn is_success(root: &Element<'_>) -> bool {
    root.only(Space::Protocol, "Status")
        .and_then(|status| status.only(Space::Protocol, "StatusCode"))
        .and_then(|code| code.attribute("Value"))
        == Some(SUCCESS)
}

#[cfg(test)]
mod tests;
