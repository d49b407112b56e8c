//! What a signed Assertion says, held to what AWS wants of it.
//!
//! Trusts its caller to hand in the signed Assertion; the Response around it is read only to refuse.

use chrono::{DateTime, TimeDelta, Utc};

use super::answer::Failure;
use super::tags::{Tag, Tags};
use crate::demo::xml::{ASSERTION, Element, PROTOCOL};
use crate::model::{Partition, SessionName};

const ATTRIBUTES: &str = "https://aws.amazon.com/SAML/Attributes/";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const REDEEMABLE: TimeDelta = TimeDelta::minutes(5);
/// How far the IdP's clock may be ahead.
const AHEAD: TimeDelta = TimeDelta::minutes(1);

/// Who the Assertion is about, and for whom it is.
pub(super) struct Bearer {
    pub(super) name_id: String,
    pub(super) format: String,
    pub(super) recipient: String,
}

fn time(element: &Element, name: &str) -> Result<Option<DateTime<Utc>>, Failure> {
    let Some(text) = element.attribute(name) else {
        return Ok(None);
    };
    let read = DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc));
    read.map(Some)
        .map_err(|_| Failure::token(format!("{name} in AuthnResponse is no time")))
}

/// The IdP says that it signed somebody in.
pub(super) fn status(response: &Element) -> Result<(), Failure> {
    let code = response
        .only(PROTOCOL, "Status")
        .and_then(|status| status.only(PROTOCOL, "StatusCode"))
        .and_then(|code| code.attribute("Value"));
    if code == Some(SUCCESS) {
        return Ok(());
    }
    let text = "The identity provider (IdP) reported that authentication failed.";
    Err(Failure::new(403, "IDPRejectedClaim", text))
}

/// The Issuer, which is the provider's and the same on both elements.
pub(super) fn issuer(
    response: &Element,
    assertion: &Element,
    entity_id: &str,
) -> Result<(), Failure> {
    let of = |element: &Element| {
        let issuer = element.only(ASSERTION, "Issuer");
        issuer.map(|issuer| issuer.text.clone())
    };
    let outer = of(response);
    let outer_fits = outer.as_deref().is_none_or(|issuer| issuer == entity_id);
    if of(assertion).as_deref() == Some(entity_id) && outer_fits {
        Ok(())
    } else {
        Err(Failure::token("Issuer not present in specified provider"))
    }
}

/// At most five minutes since the earlier IssueInstant.
pub(super) fn age(
    response: &Element,
    assertion: &Element,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    for element in [response, assertion] {
        let issued = time(element, "IssueInstant")?
            .ok_or_else(|| Failure::token("IssueInstant is required in AuthnResponse"))?;
        if now - issued > REDEEMABLE {
            let text = "Token must be redeemed within 5 minutes of issuance";
            return Err(Failure::expired(text));
        }
        if issued - now > AHEAD {
            return Err(Failure::token("AuthnResponse was issued in the future"));
        }
    }
    Ok(())
}

fn conditions(assertion: &Element) -> Result<&Element, Failure> {
    let only = assertion.only(ASSERTION, "Conditions");
    only.ok_or_else(|| Failure::token("Response does not contain Conditions."))
}

/// Within the time that the Conditions give.
pub(super) fn window(assertion: &Element, now: DateTime<Utc>) -> Result<(), Failure> {
    let conditions = conditions(assertion)?;
    if time(conditions, "NotBefore")?.is_some_and(|start| now + AHEAD < start) {
        return Err(Failure::token("Response is not valid yet"));
    }
    if time(conditions, "NotOnOrAfter")?.is_some_and(|end| end <= now) {
        return Err(Failure::expired("Response has expired"));
    }
    Ok(())
}

/// Every restriction names AWS's audience for the role's partition, and there is one.
pub(super) fn audience(assertion: &Element, partition: Partition) -> Result<(), Failure> {
    let conditions = conditions(assertion)?;
    let names = |restriction: &Element| {
        let mut audiences = restriction.children(ASSERTION, "Audience");
        audiences.any(|audience| Some(audience.text.as_str()) == partition.saml_audience())
    };
    let restrictions: Vec<_> = conditions
        .children(ASSERTION, "AudienceRestriction")
        .collect();
    if restrictions.is_empty() || !restrictions.into_iter().all(names) {
        let text = "Response does not contain the required audience.";
        return Err(Failure::token(text));
    }
    Ok(())
}

/// The NameID and the Recipient of the one bearer confirmation.
pub(super) fn bearer(assertion: &Element, now: DateTime<Utc>) -> Result<Bearer, Failure> {
    let subject = assertion.only(ASSERTION, "Subject");
    let name_id = subject.and_then(|subject| subject.only(ASSERTION, "NameID"));
    let (Some(subject), Some(name_id)) = (subject, name_id) else {
        return Err(Failure::denied("AssumeRoleWithSAML"));
    };
    let required = |what: &str| Failure::token(format!("{what} is required in AuthnResponse"));
    let confirmation = subject
        .only(ASSERTION, "SubjectConfirmation")
        .filter(|confirmation| confirmation.attribute("Method") == Some(BEARER))
        .ok_or_else(|| required("Exactly one bearer SubjectConfirmation"))?;
    let data = confirmation
        .only(ASSERTION, "SubjectConfirmationData")
        .ok_or_else(|| required("SubjectConfirmationData"))?;
    let end = time(data, "NotOnOrAfter")?;
    if end.ok_or_else(|| required("NotOnOrAfter of SubjectConfirmationData"))? <= now {
        return Err(Failure::expired("SubjectConfirmationData has expired"));
    }
    let recipient = data.attribute("Recipient");
    Ok(Bearer {
        name_id: name_id.text.clone(),
        format: name_id.attribute("Format").unwrap_or("").to_owned(),
        recipient: recipient
            .filter(|recipient| !recipient.is_empty())
            .ok_or_else(|| required("Recipient of SubjectConfirmationData"))?
            .to_owned(),
    })
}

/// Name without AWS's prefix, and values, of every attribute of AWS's.
fn attributes(assertion: &Element) -> impl Iterator<Item = (&str, Vec<&str>)> {
    assertion
        .children(ASSERTION, "AttributeStatement")
        .flat_map(|statement| statement.children(ASSERTION, "Attribute"))
        .filter_map(|attribute| {
            let name = attribute.attribute("Name")?.strip_prefix(ATTRIBUTES)?;
            let values = attribute.children(ASSERTION, "AttributeValue");
            Some((name, values.map(|value| value.text.as_str()).collect()))
        })
}

/// The values of the attribute `name`, over all elements that bear it.
pub(super) fn values<'a>(assertion: &'a Element, name: &str) -> Vec<&'a str> {
    attributes(assertion)
        .filter(|(known, _)| *known == name)
        .flat_map(|(_, values)| values)
        .collect()
}

/// The RoleSessionName; it must be there once.
pub(super) fn session_name(assertion: &Element) -> Result<SessionName, Failure> {
    let [name] = values(assertion, "RoleSessionName")[..] else {
        let text = "RoleSessionName is required in AuthnResponse";
        return Err(Failure::token(text));
    };
    let text = "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}";
    name.parse().map_err(|_| Failure::token(text))
}

/// The SourceIdentity, where there is one.
pub(super) fn source_identity(assertion: &Element) -> Result<Option<SessionName>, Failure> {
    let bad = || {
        Failure::token(
            "Source Identity in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with \"aws:\"",
        )
    };
    match values(assertion, "SourceIdentity")[..] {
        [] => Ok(None),
        [name] => name.parse().map(Some).map_err(|_| bad()),
        _ => Err(bad()),
    }
}

/// The SessionDuration, where there is one.
pub(super) fn session_duration(assertion: &Element) -> Result<Option<u32>, Failure> {
    let read = match values(assertion, "SessionDuration")[..] {
        [] => return Ok(None),
        [text] => text.parse().ok(),
        _ => None,
    };
    let read = read.filter(|seconds| (900..=43_200).contains(seconds));
    let text = "SessionDuration in AuthnResponse must be an integer from 900 to 43200";
    read.map(Some).ok_or_else(|| Failure::token(text))
}

/// The earliest SessionNotOnOrAfter, where there is one, which must be to come.
pub(super) fn session_end(
    assertion: &Element,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Failure> {
    let mut earliest: Option<DateTime<Utc>> = None;
    for statement in assertion.children(ASSERTION, "AuthnStatement") {
        if let Some(end) = time(statement, "SessionNotOnOrAfter")? {
            earliest = Some(earliest.map_or(end, |earlier| earlier.min(end)));
        }
    }
    if earliest.is_some_and(|end| end <= now) {
        return Err(Failure::expired("SessionNotOnOrAfter has passed"));
    }
    Ok(earliest)
}

/// Session tags, which have one value each, and which of them are transitive.
pub(super) fn tags(assertion: &Element) -> Result<Tags, Failure> {
    let mut all = Vec::new();
    for (name, values) in attributes(assertion) {
        let Some(key) = name.strip_prefix("PrincipalTag:") else {
            continue;
        };
        let [value] = values[..] else {
            return Err(Failure::invalid(format!(
                "Tag {key:?} in AuthnResponse is invalid"
            )));
        };
        all.push(Tag {
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }
    let transitive = values(assertion, "TransitiveTagKeys");
    Tags::checked(all, transitive.into_iter().map(str::to_owned).collect())
}
