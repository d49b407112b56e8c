//! The claims of a verified ID token as attributes, for `when` and for session tags.
//!
//! Every claim that says something of the person becomes text; nested objects go by dotted paths. AWS's session
//! tags get the names that they have in SAML, so that the rest of rolegate reads one kind. What is deeper or
//! longer named than anybody writes is left out.

use serde_json::Value;

use super::claims::{Claims, verified_email};
use crate::model::Attributes;

/// What says something of the token and nothing of the person.
const OF_THE_TOKEN: &[&str] = &[
    "nonce", "at_hash", "c_hash", "s_hash", "jti", "exp", "iat", "nbf",
];
/// Says something of the person where the provider checked it alone, as for the user's name.
const EMAIL: &str = "email";
/// AWS's claim for session tags (IAM user guide, "Pass session tags using AssumeRoleWithWebIdentity").
const TAGS: &str = "https://aws.amazon.com/tags";
/// What the same tags are called in SAML.
const PRINCIPAL_TAG: &str = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:";
const TRANSITIVE: &str = "https://aws.amazon.com/SAML/Attributes/TransitiveTagKeys";
/// Deeper objects are left out.
const DEEPEST: usize = 8;
/// Longer paths are left out.
const LONGEST_PATH: usize = 256;

/// The attributes of a token's claims.
pub(super) fn attributes(claims: &Claims) -> Attributes {
    let mut found = Attributes::new();
    // Whole names first: a path never replaces a claim of that very name.
    for (name, value) in claims {
        let values = texts(value);
        if !values.is_empty() && is_kept(name) {
            found.insert(name.clone(), values);
        }
    }
    for (name, value) in claims {
        if let Value::Object(object) = value {
            nested(&mut found, name, object, 1);
        }
    }
    session_tags(claims, &mut found);
    if verified_email(claims).is_none() {
        // Whoever may write there what they like would fit a condition on it.
        found.remove(EMAIL);
    }
    found
}

/// The attributes of a newer token's claims, for who has those in `known`: what a claim of it said before and says
/// no more stands there without a value. A claim that it does not have at all changes nothing.
pub(super) fn newer_attributes(claims: &Claims, known: &Attributes) -> Attributes {
    let mut found = attributes(claims);
    for name in known.keys().filter(|name| is_said_by(claims, name)) {
        found.entry(name.clone()).or_default();
    }
    found
}

/// Whether the attribute is one of a claim that is there, or of something within it.
fn is_said_by(claims: &Claims, attribute: &str) -> bool {
    let is_tag = attribute.starts_with(PRINCIPAL_TAG) || attribute == TRANSITIVE;
    let within = |claim: &String| {
        let rest = attribute.strip_prefix(claim.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    claims.keys().any(within) || (is_tag && claims.contains_key(TAGS))
}

fn is_kept(name: &str) -> bool {
    !OF_THE_TOKEN.contains(&name) && name.len() <= LONGEST_PATH
}

fn nested(found: &mut Attributes, path: &str, object: &Claims, depth: usize) {
    for (name, value) in object {
        if depth >= DEEPEST || path.len() + 1 + name.len() > LONGEST_PATH {
            continue;
        }
        let path = format!("{path}.{name}");
        if let Value::Object(object) = value {
            nested(found, &path, object, depth + 1);
            continue;
        }
        let values = texts(value);
        if !values.is_empty() {
            found.entry(path).or_insert(values);
        }
    }
}

/// A value as texts: what is no text, number or truth says nothing.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// AWS's session tags, nested in one claim or flat in several.
fn session_tags(claims: &Claims, found: &mut Attributes) {
    let flat = format!("{TAGS}/principal_tags/");
    for (name, value) in claims {
        if let Some(key) = name.strip_prefix(&flat) {
            found.insert(format!("{PRINCIPAL_TAG}{key}"), texts(value));
        }
    }
    if let Some(keys) = claims.get(&format!("{TAGS}/transitive_tag_keys")) {
        found.insert(TRANSITIVE.to_owned(), texts(keys));
    }
    let Some(Value::Object(tags)) = claims.get(TAGS) else {
        return;
    };
    if let Some(Value::Object(principal)) = tags.get("principal_tags") {
        for (key, value) in principal {
            found.insert(format!("{PRINCIPAL_TAG}{key}"), texts(value));
        }
    }
    if let Some(keys) = tags.get("transitive_tag_keys") {
        found.insert(TRANSITIVE.to_owned(), texts(keys));
    }
}
