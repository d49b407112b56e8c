//! What narrows one job's credentials below what its role permits: a session policy, and session tags.
//!
//! The grammar and the sizes are AWS's (STS API, `AssumeRole`: `Policy`, `Tags`), checked before STS is
//! asked. What a policy says is AWS's to understand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// What STS takes of a session policy, in characters.
const MAX_POLICY: usize = 2048;
/// STS takes at most 50 session tags.
pub const MAX_TAGS: usize = 50;

/// Why something narrows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NarrowingError {
    /// No JSON object.
    #[error(
        "session_policy is no IAM policy; send the JSON object that holds Version and Statement"
    )]
    NotAPolicy,
    /// No statement in it.
    #[error("session_policy has no Statement; a policy without one permits nothing")]
    NoStatement,
    /// More than STS takes.
    #[error(
        "session_policy has {0} characters without white space, and STS takes 2048; shorten it, or narrow the role itself"
    )]
    PolicyTooLong(usize),
    /// A character that STS refuses.
    #[error(
        "session_policy holds {0:?}, and STS takes U+0020 to U+00FF only; escape it as \\uXXXX"
    )]
    PolicyCharacter(char),
    /// No tag key of AWS's grammar.
    #[error("tag key {0:?} is none: 1 to 128 letters, digits, spaces and _ . : / = + - @")]
    TagKey(String),
    /// A key that is not the launcher's to set.
    #[error("tag key {0:?} is reserved: aws: and rolegate: keys are not set by launchers")]
    ReservedTagKey(String),
    /// No tag value of AWS's grammar.
    #[error(
        "the value of tag {0:?} is none: at most 256 letters, digits, spaces and _ . : / = + - @"
    )]
    TagValue(String),
    /// The same key twice.
    #[error("tag key {0:?} is given twice; AWS compares keys without case")]
    RepeatedTagKey(String),
    /// More than STS takes.
    #[error("{0} tags are more than the 50 that STS takes")]
    TooManyTags(usize),
}

/// A session policy (STS API, `Policy`): JSON without white space, at most 2,048 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionPolicy(String);

impl SessionPolicy {
    /// Checks a policy given as an object, or as a text that holds one.
    pub fn new(policy: &Value) -> Result<Self, NarrowingError> {
        let parsed;
        let policy = match policy {
            Value::String(text) => {
                parsed = serde_json::from_str(text).map_err(|_| NarrowingError::NotAPolicy)?;
                &parsed
            }
            other => other,
        };
        let object = policy.as_object().ok_or(NarrowingError::NotAPolicy)?;
        let stated = match object.get("Statement") {
            Some(Value::Array(list)) => !list.is_empty() && list.iter().all(Value::is_object),
            Some(Value::Object(_)) => true,
            _ => false,
        };
        if !stated {
            return Err(NarrowingError::NoStatement);
        }
        let text = policy.to_string();
        let length = text.chars().count();
        if length > MAX_POLICY {
            return Err(NarrowingError::PolicyTooLong(length));
        }
        match text
            .chars()
            .find(|letter| !(' '..='\u{ff}').contains(letter))
        {
            Some(letter) => Err(NarrowingError::PolicyCharacter(letter)),
            None => Ok(Self(text)),
        }
    }

    /// The JSON that STS is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SessionPolicy {
    type Error = NarrowingError;

    fn try_from(text: String) -> Result<Self, NarrowingError> {
        Self::new(&Value::String(text))
    }
}

impl From<SessionPolicy> for String {
    fn from(policy: SessionPolicy) -> Self {
        policy.0
    }
}

impl fmt::Display for SessionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one lease asks for beyond the role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    /// What the credentials are limited to.
    #[serde(default)]
    pub session_policy: Option<SessionPolicy>,
    /// Session tags of the launcher's.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl Narrowing {
    /// Checks policy and tags as they were sent.
    pub fn new(
        session_policy: Option<&Value>,
        tags: BTreeMap<String, String>,
    ) -> Result<Self, NarrowingError> {
        let session_policy = session_policy.map(SessionPolicy::new).transpose()?;
        if tags.len() > MAX_TAGS {
            return Err(NarrowingError::TooManyTags(tags.len()));
        }
        let mut seen = BTreeSet::new();
        for (key, value) in &tags {
            let folded = key.to_lowercase();
            if !is_tag_key(key) {
                return Err(NarrowingError::TagKey(key.clone()));
            }
            if folded.starts_with("aws:") || folded.starts_with("rolegate:") {
                return Err(NarrowingError::ReservedTagKey(key.clone()));
            }
            if !is_tag_value(value) {
                return Err(NarrowingError::TagValue(key.clone()));
            }
            if !seen.insert(folded) {
                return Err(NarrowingError::RepeatedTagKey(key.clone()));
            }
        }
        Ok(Self {
            session_policy,
            tags,
        })
    }

    /// Whether nothing is narrowed.
    pub fn is_empty(&self) -> bool {
        self.session_policy.is_none() && self.tags.is_empty()
    }
}

/// STS API, `Tag`: letters, numbers and spaces of any script, and some punctuation.
pub fn is_tag_key(text: &str) -> bool {
    (1..=128).contains(&text.chars().count()) && text.chars().all(is_tag_character)
}

/// STS API, `Tag`: as a key, but may be empty, and up to 256 characters.
pub fn is_tag_value(text: &str) -> bool {
    text.chars().count() <= 256 && text.chars().all(is_tag_character)
}

/// Whether AWS takes `letter` in a tag.
pub fn is_tag_character(letter: char) -> bool {
    letter.is_alphanumeric() || letter == ' ' || "_.:/=+-@".contains(letter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_an_object_with_statements_of_a_size_that_sts_takes() {
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" }] });
        let taken = SessionPolicy::new(&policy).unwrap();
        assert!(!taken.as_str().contains(": "));
        let text = Value::String(serde_json::to_string_pretty(&policy).unwrap());
        assert_eq!(SessionPolicy::new(&text), Ok(taken));
        for (bad, wanted) in [
            (json!("not json"), NarrowingError::NotAPolicy),
            (json!([]), NarrowingError::NotAPolicy),
            (json!({}), NarrowingError::NoStatement),
            (json!({ "Statement": [] }), NarrowingError::NoStatement),
            (json!({ "Statement": ["x"] }), NarrowingError::NoStatement),
            (
                json!({ "Statement": { "Sid": "漢" } }),
                NarrowingError::PolicyCharacter('漢'),
            ),
        ] {
            assert_eq!(SessionPolicy::new(&bad), Err(wanted), "{bad}");
        }
        let of = |length: usize| json!({ "Statement": { "Sid": "x".repeat(length) } });
        let frame = of(0).to_string().len();
        assert!(SessionPolicy::new(&of(2048 - frame)).is_ok());
        let long = SessionPolicy::new(&of(2049 - frame));
        assert_eq!(long, Err(NarrowingError::PolicyTooLong(2049)));
    }

    #[test]
    fn tags_are_aws_tags_that_nobody_else_sets() {
        let with = |tags: &[(&str, &str)]| {
            let tags = tags
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Narrowing::new(None, tags.collect())
        };
        assert!(with(&[("Project", "a b"), ("Größe", "")]).is_ok());
        assert_eq!(
            with(&[("a!", "")]),
            Err(NarrowingError::TagKey("a!".to_owned()))
        );
        assert_eq!(
            with(&[("a", "b,c")]),
            Err(NarrowingError::TagValue("a".to_owned()))
        );
        let reserved = |key: &str| Err(NarrowingError::ReservedTagKey(key.to_owned()));
        assert_eq!(with(&[("AWS:x", "")]), reserved("AWS:x"));
        assert_eq!(with(&[("Rolegate:user", "")]), reserved("Rolegate:user"));
        let twice = with(&[("Team", "a"), ("team", "b")]);
        assert_eq!(
            twice,
            Err(NarrowingError::RepeatedTagKey("team".to_owned()))
        );
        let keys: Vec<String> = (0..51).map(|at| format!("k{at}")).collect();
        let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
        assert_eq!(with(&many), Err(NarrowingError::TooManyTags(51)));
        assert!(with(&many[..50]).is_ok());
    }
}
