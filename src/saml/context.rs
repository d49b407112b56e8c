//! The questions that the conditions ask of a verified assertion (SAML 2.0 core and profiles 4.1.4).
//!
//! Read are the verified bytes alone, and of the unsigned Response only what can add a refusal. Clocks
//! may differ by the skew; arithmetic on times saturates.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};

use super::attributes::Statements;
use super::conditions::{SUCCESS, expected_request};
use super::gate::{Signed, Wrapper};
use super::refusal::{Refusal, cut, listed};
use super::time::{self, earlier, later};
use super::verify::Expectation;
use super::xml::{Element, Space};
use crate::model::LogoutHandle;

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// STS takes an assertion for five minutes; an older one is of no use to anybody honest.
const MAX_AGE: TimeDelta = TimeDelta::minutes(5);

/// What the conditions are asked of.
pub(super) struct Context<'c> {
    pub(super) assertion: &'c Element<'c>,
    pub(super) response: &'c Wrapper,
    pub(super) signed: Signed,
    pub(super) encrypted: bool,
    pub(super) expectation: &'c Expectation<'c>,
    pub(super) statements: Statements<'c>,
}

/// What a condition that held has found.
pub(super) type Seen<'c> = Cow<'c, str>;

impl<'c> Context<'c> {
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.expectation.now
    }

    /// The end of what must not have passed, with the clocks' difference.
    pub(super) fn not_ended(&self, what: &'static str, end: DateTime<Utc>) -> Result<(), Refusal> {
        if self.now() < later(end, self.expectation.skew) {
            return Ok(());
        }
        Err(Refusal::Expired {
            what,
            not_on_or_after: end,
            now: self.now(),
        })
    }

    /// Core 2.2.5: the Issuers name one provider, the one whose keys were tried.
    pub(super) fn issuers(&self) -> Result<Seen<'c>, Refusal> {
        let assertion = self
            .assertion
            .only(Space::Assertion, "Issuer")
            .and_then(Element::text)
            .unwrap_or_default();
        let expected = self.expectation.trust.entity_id();
        if assertion != expected {
            return Err(Refusal::Issuer {
                found: cut(assertion),
                expected: cut(expected),
            });
        }
        match &self.response.issuer {
            Some(response) if response != assertion => Err(Refusal::IssuersDiffer {
                response: cut(response),
                assertion: cut(assertion),
            }),
            _ => Ok(assertion.into()),
        }
    }

    pub(super) fn versions(&self) -> Result<Seen<'c>, Refusal> {
        let assertion = self.assertion.attribute("Version").unwrap_or_default();
        for found in [assertion, &self.response.version] {
            if found != "2.0" {
                return Err(Refusal::Version { found: cut(found) });
            }
        }
        Ok("2.0".into())
    }

    pub(super) fn status(&self) -> Result<Seen<'c>, Refusal> {
        if self.response.status == SUCCESS {
            Ok(SUCCESS.into())
        } else {
            Err(Refusal::Status {
                found: cut(&self.response.status),
            })
        }
    }

    /// Bindings 3.5.5.2: where it names a destination, that is us.
    pub(super) fn destination(&self) -> Result<Seen<'c>, Refusal> {
        let destinations = self.expectation.destinations;
        match self.response.destination.as_deref() {
            None => Ok("absent".into()),
            Some(found) if destinations.iter().any(|known| known == found) => Ok(found.into()),
            Some(found) => Err(Refusal::Destination {
                found: cut(found),
                expected: listed(destinations.iter().map(String::as_str)),
            }),
        }
    }

    /// Profiles 4.1.4.3: the signed half must answer our request; the unsigned half may only disagree.
    pub(super) fn in_response_to(&self) -> Result<Seen<'c>, Refusal> {
        let signed = self.confirmation_data()?.attribute("InResponseTo");
        let unsigned = self.response.in_response_to.as_deref();
        let agrees = match self.expectation.request {
            Some(request) => {
                signed == Some(request) && unsigned.is_none_or(|found| found == request)
            }
            None => signed.is_none() && unsigned.is_none(),
        };
        if agrees {
            return Ok(signed.unwrap_or("absent").into());
        }
        let show = |found: Option<&str>| {
            found.map_or_else(|| "absent".to_owned(), |id| format!("{:?}", cut(id)))
        };
        Err(Refusal::InResponseTo {
            found: format!(
                "{} in the confirmation, {} on the Response",
                show(signed),
                show(unsigned)
            ),
            expected: expected_request(self.expectation),
        })
    }

    /// The earlier of the two IssueInstants, both of them recent.
    pub(super) fn issued_at(&self) -> Result<DateTime<Utc>, Refusal> {
        let assertion = self.assertion.attribute("IssueInstant").unwrap_or_default();
        let assertion = self.recent("Assertion", assertion)?;
        let response = self.recent("Response", &self.response.issue_instant)?;
        Ok(assertion.min(response))
    }

    pub(super) fn recent(&self, what: &'static str, text: &str) -> Result<DateTime<Utc>, Refusal> {
        let found = read_time("IssueInstant", text)?;
        let now = self.now();
        if earlier(now, MAX_AGE) <= found && found <= later(now, self.expectation.skew) {
            Ok(found)
        } else {
            Err(Refusal::IssueInstant { what, found, now })
        }
    }

    pub(super) fn conditions(&self) -> Result<&'c Element<'c>, Refusal> {
        self.assertion
            .only(Space::Assertion, "Conditions")
            .ok_or(Refusal::NoConditions {})
    }

    /// Core 2.5.1.2.
    pub(super) fn window(&self) -> Result<Seen<'c>, Refusal> {
        let conditions = self.conditions()?;
        let not_before = optional_time(conditions, "NotBefore")?;
        let end = optional_time(conditions, "NotOnOrAfter")?;
        if let (Some(not_before), Some(end)) = (not_before, end)
            && not_before >= end
        {
            return Err(Refusal::TimesOrder {
                not_before,
                not_on_or_after: end,
            });
        }
        if let Some(not_before) = not_before
            && not_before > later(self.now(), self.expectation.skew)
        {
            return Err(Refusal::NotYetValid {
                not_before,
                now: self.now(),
            });
        }
        if let Some(end) = end {
            self.not_ended("assertion", end)?;
        }
        let show = |time: Option<DateTime<Utc>>| {
            time.map_or_else(|| "open".to_owned(), crate::model::rfc3339)
        };
        Ok(format!("{} to {}", show(not_before), show(end)).into())
    }

    /// Core 2.5.1.1: a condition that is not understood makes the assertion invalid for us.
    pub(super) fn known_conditions(&self) -> Result<Seen<'c>, Refusal> {
        let known = |child: &&Element<'_>| {
            child.space == Space::Assertion
                && matches!(
                    child.local,
                    "AudienceRestriction" | "OneTimeUse" | "ProxyRestriction"
                )
        };
        match self
            .conditions()?
            .children
            .iter()
            .find(|child| !known(child))
        {
            Some(other) => Err(Refusal::UnknownCondition {
                found: cut(other.local),
            }),
            None => Ok("known".into()),
        }
    }

    /// Core 2.5.1.4: restrictions are ANDed, the audiences in one are ORed. Returns those in all of them.
    pub(super) fn audiences(&self) -> Result<Vec<&'c str>, Refusal> {
        let ours = self.expectation.audiences;
        let mut common: Option<Vec<&'c str>> = None;
        for restriction in self
            .conditions()?
            .all(Space::Assertion, "AudienceRestriction")
        {
            let audiences: Vec<&str> = restriction
                .all(Space::Assertion, "Audience")
                .filter_map(Element::text)
                .collect();
            if !audiences
                .iter()
                .any(|audience| ours.iter().any(|known| known == audience))
            {
                return Err(Refusal::Audience {
                    found: listed(audiences),
                    expected: listed(ours.iter().map(String::as_str)),
                });
            }
            common = Some(match common {
                None => audiences,
                Some(common) => common
                    .into_iter()
                    .filter(|one| audiences.contains(one))
                    .collect(),
            });
        }
        common.ok_or(Refusal::NoAudience {})
    }

    pub(super) fn subject(&self) -> Result<&'c Element<'c>, Refusal> {
        exactly_one(self.assertion, "Subject")
    }

    /// The text of the one NameID.
    pub(super) fn name_id(&self) -> Result<&'c str, Refusal> {
        let name_id = exactly_one(self.subject()?, "NameID")?;
        match name_id.text() {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Refusal::Subject {
                what: "NameID with text",
                found: 0,
            }),
        }
    }

    /// What names this sign-in in single logout.
    pub(super) fn logout_handle(&self) -> Option<LogoutHandle> {
        let name_id = self.subject().ok()?.only(Space::Assertion, "NameID")?;
        let owned = |name: &str| name_id.attribute(name).map(str::to_owned);
        let statements = self.assertion.all(Space::Assertion, "AuthnStatement");
        Some(LogoutHandle {
            name_id: self.name_id().ok()?.to_owned(),
            format: owned("Format"),
            name_qualifier: owned("NameQualifier"),
            sp_name_qualifier: owned("SPNameQualifier"),
            session_indexes: statements
                .filter_map(|statement| statement.attribute("SessionIndex"))
                .map(str::to_owned)
                .collect(),
        })
    }

    pub(super) fn confirmation_data(&self) -> Result<&'c Element<'c>, Refusal> {
        let confirmation = exactly_one(self.subject()?, "SubjectConfirmation")?;
        let method = confirmation.attribute("Method").unwrap_or_default();
        if method != BEARER {
            return Err(Refusal::ConfirmationMethod { found: cut(method) });
        }
        exactly_one(confirmation, "SubjectConfirmationData")
    }

    /// Profiles 4.1.4.2: an end, and no beginning.
    pub(super) fn confirmed_until(&self) -> Result<DateTime<Utc>, Refusal> {
        let data = self.confirmation_data()?;
        if data.attribute("NotBefore").is_some() {
            return Err(Refusal::ConfirmationNotBefore {});
        }
        let end = optional_time(data, "NotOnOrAfter")?.ok_or(Refusal::ConfirmationEndless {})?;
        self.not_ended("confirmation", end)?;
        Ok(end)
    }

    /// The Recipient, which is one of ours.
    pub(super) fn recipient(&self) -> Result<&'c str, Refusal> {
        let recipients = self.expectation.recipients;
        let found = self.confirmation_data()?.attribute("Recipient");
        found
            .filter(|found| recipients.iter().any(|known| known == found))
            .ok_or_else(|| Refusal::Recipient {
                found: listed(found),
                expected: listed(recipients.iter().map(String::as_str)),
            })
    }

    /// The earliest `SessionNotOnOrAfter` of the AuthnStatements, of which there is at least one.
    pub(super) fn session_end(&self) -> Result<Option<DateTime<Utc>>, Refusal> {
        let mut statements = self
            .assertion
            .all(Space::Assertion, "AuthnStatement")
            .peekable();
        if statements.peek().is_none() {
            return Err(Refusal::NoAuthnStatement {});
        }
        let mut earliest: Option<DateTime<Utc>> = None;
        for statement in statements {
            let Some(end) = optional_time(statement, "SessionNotOnOrAfter")? else {
                continue;
            };
            if end <= self.now() {
                return Err(Refusal::Expired {
                    what: "session",
                    not_on_or_after: end,
                    now: self.now(),
                });
            }
            earliest = Some(earliest.map_or(end, |known| known.min(end)));
        }
        Ok(earliest)
    }

    /// The request that the signed half answers.
    pub(super) fn answered_request(&self) -> Result<Option<&'c str>, Refusal> {
        Ok(self.confirmation_data()?.attribute("InResponseTo"))
    }

    /// When the assertion can no longer be valid by any of its own times.
    pub(super) fn ends_at(&self) -> Result<DateTime<Utc>, Refusal> {
        let confirmed = self.confirmed_until()?;
        let end = optional_time(self.conditions()?, "NotOnOrAfter")?;
        Ok(end.map_or(confirmed, |end| end.max(confirmed)))
    }
}

fn exactly_one<'c>(
    parent: &'c Element<'c>,
    what: &'static str,
) -> Result<&'c Element<'c>, Refusal> {
    parent
        .only(Space::Assertion, what)
        .ok_or_else(|| Refusal::Subject {
            what,
            found: parent.all(Space::Assertion, what).count(),
        })
}

fn read_time(what: &'static str, text: &str) -> Result<DateTime<Utc>, Refusal> {
    time::parse(text).ok_or_else(|| Refusal::BadTime {
        what,
        found: cut(text),
    })
}

fn optional_time(
    element: &Element<'_>,
    name: &'static str,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    element
        .attribute(name)
        .map(|text| read_time(name, text))
        .transpose()
}
