//! What the claims of a verified ID token say of the person: roles, duration, user name and attributes.
//!
//! It takes claims that a provider's key signed and decides nothing: what is offered here is permitted, or not,
//! elsewhere. A claim that is present and bad never falls back to another.

use serde_json::{Map, Value};

use super::refusal::{Refusal, cut, listed};
use super::{ClaimPath, ProviderSettings};
use crate::model::{DurationError, Offers, SessionDuration, UserName, split_arn_list};

/// The claims of one token.
pub(super) type Claims = Map<String, Value>;

const NOT_TEXT: &str = "is no text; send role ARNs as a string or as an array of strings";

/// The roles that a claim offers; `None` where the claim is not there.
pub(super) fn offers(claims: &Claims, name: &ClaimPath) -> Option<Offers> {
    let values = match name.find(claims)? {
        Value::Null => Vec::new(),
        Value::String(text) => role_values(text),
        Value::Array(items) => items.iter().flat_map(item_values).collect(),
        _ => vec![None],
    };
    Some(Offers::read(
        values,
        &format!("of the claim {name} {NOT_TEXT}"),
    ))
}

fn item_values(item: &Value) -> Vec<Option<&str>> {
    item.as_str().map_or_else(|| vec![None], role_values)
}

/// Some providers can send one string only: several role ARNs in it are several values. A role with its
/// saml-provider stays one.
fn role_values(text: &str) -> Vec<Option<&str>> {
    let arns = split_arn_list(text);
    let has_provider = arns.iter().any(|arn| arn.contains(":saml-provider/"));
    if arns.len() < 2 || has_provider {
        return vec![Some(text)];
    }
    arns.into_iter().map(Some).collect()
}

/// How long an AWS session may last; an empty text counts as absent, as SAML's does.
pub(super) fn session_duration(
    claims: &Claims,
    name: &ClaimPath,
) -> Result<Option<SessionDuration>, Refusal> {
    let text = match name.find(claims) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => {
            return Err(Refusal::SessionDuration {
                found: kind(other).to_owned(),
                reason: DurationError::NotANumber,
            });
        }
    };
    SessionDuration::parse(&text)
        .map(Some)
        .map_err(|reason| Refusal::SessionDuration {
            found: cut(&text),
            reason,
        })
}

/// The user: by the configured claim, else the mail address that the provider verified, else the subject.
pub(super) fn user(claims: &Claims, settings: &ProviderSettings) -> Result<UserName, Refusal> {
    let name = &settings.claims.session_name;
    let user = match name.find(claims) {
        None | Some(Value::Null) => match verified_email(claims) {
            Some(email) => named("email", email),
            None => named("sub", claims.get("sub").unwrap_or(&Value::Null)),
        },
        Some(value) => named(name.as_str(), value),
    }?;
    in_domains(&user, &settings.user_domains)?;
    Ok(user)
}

/// `email`, where `email_verified` is true; some providers write it as text (OpenID Connect Core 1.0, 5.1).
pub(super) fn verified_email(claims: &Claims) -> Option<&Value> {
    let is_verified = match claims.get("email_verified")? {
        Value::Bool(verified) => *verified,
        Value::String(text) => text == "true",
        _ => false,
    };
    let email = claims.get("email").filter(|email| !email.is_null());
    email.filter(|_| is_verified)
}

fn named(claim: &str, value: &Value) -> Result<UserName, Refusal> {
    let refused = |why: String| Refusal::UserName {
        claim: cut(claim),
        why,
    };
    let text = value
        .as_str()
        .ok_or_else(|| refused(format!("it is {}, not text", kind(value))))?;
    text.parse()
        .map_err(|error: crate::model::NameError| refused(error.to_string()))
}

/// Whether this provider may speak for the user, by exact bytes behind the last `@`.
fn in_domains(user: &UserName, domains: &[String]) -> Result<(), Refusal> {
    let domain = user.as_str().rsplit_once('@').map(|(_, domain)| domain);
    let fits = |domain: &str| domains.iter().any(|known| known == domain);
    if domains.is_empty() || domain.is_some_and(fits) {
        return Ok(());
    }
    Err(Refusal::UserDomain {
        found: user.to_string(),
        expected: listed(domains.iter().map(String::as_str)),
    })
}

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
