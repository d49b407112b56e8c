//! Patterns of the allow-list: `*` stands for any text without `/`, `**` for any text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AccountId, ArnError, Partition, RoleArn};

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Its fixed parts are not those of a role ARN.
    #[error("{0}")]
    Arn(#[from] ArnError),
    /// `?` is none of our wildcards.
    #[error(
        "uses `?`, which is no wildcard here; write `*` for any text without `/`, `**` for any text"
    )]
    QuestionMark,
    /// A wildcard in the account that is not the whole account.
    #[error(
        "has a wildcard within the account; the whole account may be `*`, or name its twelve digits"
    )]
    PartOfAccount,
    /// Three stars and more.
    #[error("has more than two `*` in a row; write `*` or `**`")]
    TooManyStars,
    /// A role that nobody may be given through rolegate.
    #[error("cannot be allowed: AWSReservedSSO_ and aws-service-role/ roles belong to AWS")]
    Reserved,
    /// Longer than an ARN.
    #[error("is longer than the 2048 characters of an ARN")]
    TooLong,
}

/// Text with `*` and `**`, matched as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TextPattern(String);

impl TextPattern {
    /// A pattern of `text`; anything may stand in it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits. `*` alone means all.
    pub fn matches(&self, text: &str) -> bool {
        self.0 == "*" || fits(self.0.as_bytes(), text.as_bytes())
    }

    /// How many bytes stand before the first wildcard.
    pub fn literal_prefix(&self) -> usize {
        self.0.find('*').unwrap_or(self.0.len())
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches with one row of states, so that the work is at most pattern times text.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    // reachable[i]: the text so far fits the pattern's first i bytes.
    let mut reachable = vec![false; pattern.len() + 1];
    open(&mut reachable, pattern, 0);
    for &byte in text {
        let mut next = vec![false; pattern.len() + 1];
        for (at, _) in reachable.iter().enumerate().filter(|(_, on)| **on) {
            match pattern.get(at) {
                Some(b'*') if byte != b'/' || crosses(pattern, at) => open(&mut next, pattern, at),
                Some(&literal) if literal != b'*' && literal == byte => {
                    open(&mut next, pattern, at + 1);
                }
                _ => {}
            }
        }
        reachable = next;
    }
    reachable.last().copied().unwrap_or(false)
}

/// Whether the star at `at` is half of a `**`.
fn crosses(pattern: &[u8], at: usize) -> bool {
    pattern.get(at + 1) == Some(&b'*') || (at > 0 && pattern.get(at - 1) == Some(&b'*'))
}

/// Marks `at`, and what follows as long as stars may stand for nothing.
fn open(states: &mut [bool], pattern: &[u8], mut at: usize) {
    loop {
        if let Some(state) = states.get_mut(at) {
            *state = true;
        }
        if pattern.get(at) != Some(&b'*') {
            return;
        }
        at += 1;
    }
}

/// An entry's ARN: one exact role, or a pattern over path and name, the whole account perhaps `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RolePattern {
    text: String,
    partition: Partition,
    account: Option<AccountId>,
    resource: TextPattern,
}

impl RolePattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition it is for.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The account it is for; `None` is any.
    pub fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// Whether it names exactly one role.
    pub fn is_exact(&self) -> bool {
        !self.text.contains('*')
    }

    /// Whether `role` fits.
    pub fn matches(&self, role: &RoleArn) -> bool {
        if self.is_exact() {
            return self.text == role.as_str();
        }
        self.partition == role.partition()
            && self
                .account
                .as_ref()
                .is_none_or(|account| account == role.account())
            && fits(
                self.resource.as_str().as_bytes(),
                role.path_and_name().as_bytes(),
            )
    }

    /// The text before the first wildcard, all of it where there is none: every role that fits begins with it.
    pub fn literal(&self) -> &str {
        self.text.split('*').next().unwrap_or_default()
    }

    /// Orders patterns by how closely they name a role: an exact ARN first, then the longest literal
    /// text before the first wildcard. Higher is closer.
    pub fn specificity(&self) -> (bool, usize) {
        (
            self.is_exact(),
            self.text.find('*').unwrap_or(self.text.len()),
        )
    }
}

impl FromStr for RolePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > 2048 {
            return Err(PatternError::TooLong);
        }
        if text.contains('?') {
            return Err(PatternError::QuestionMark);
        }
        if text.contains("***") {
            return Err(PatternError::TooManyStars);
        }
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let account = fields.get(4).copied().unwrap_or("");
        if account != "*" && account.contains('*') {
            return Err(PatternError::PartOfAccount);
        }
        // With its wildcards replaced by what they may stand for, a pattern must be a role's ARN.
        let account_shown = if account == "*" {
            "000000000000"
        } else {
            account
        };
        let sample: Vec<String> = fields
            .iter()
            .enumerate()
            .map(|(at, field)| match at {
                4 => account_shown.to_owned(),
                5 => field.replace("**", "x").replace('*', "x"),
                _ => (*field).to_owned(),
            })
            .collect();
        let sample: RoleArn = sample.join(":").parse()?;
        let resource = fields
            .get(5)
            .and_then(|field| field.strip_prefix("role/"))
            .unwrap_or("");
        if resource.starts_with("aws-service-role/")
            || resource
                .rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with("AWSReservedSSO_"))
        {
            return Err(PatternError::Reserved);
        }
        Ok(Self {
            text: text.to_owned(),
            partition: sample.partition(),
            account: (account != "*").then(|| sample.account().clone()),
            resource: TextPattern::new(resource),
        })
    }
}

impl TryFrom<String> for RolePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<RolePattern> for String {
    fn from(pattern: RolePattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for RolePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, role: &str) -> bool {
        pattern
            .parse::<RolePattern>()
            .unwrap()
            .matches(&role.parse().unwrap())
    }

    #[test]
    fn stars_stay_within_a_part_and_double_stars_do_not() {
        let role = "arn:aws:iam::123456789012:role/team-a/deep/reader";
        assert!(!matches("arn:aws:iam::123456789012:role/team-a/*", role));
        assert!(matches("arn:aws:iam::123456789012:role/team-a/**", role));
        assert!(matches(
            "arn:aws:iam::123456789012:role/team-a/*/reader",
            role
        ));
        assert!(matches("arn:aws:iam::*:role/**/reader", role));
        assert!(matches(
            "arn:aws:iam::123456789012:role/team-a/*/r*d*r",
            role
        ));
        assert!(!matches("arn:aws:iam::123456789013:role/**", role));
        assert!(!matches("arn:aws-cn:iam::*:role/**", role));
    }

    #[test]
    fn an_exact_arn_matches_itself_alone() {
        let exact = "arn:aws:iam::123456789012:role/reader";
        assert!(matches(exact, exact));
        assert!(!matches(exact, "arn:aws:iam::123456789012:role/reader2"));
        assert!(!matches(exact, "arn:aws:iam::123456789012:role/Reader"));
    }

    #[test]
    fn refuses_what_would_surprise() {
        for bad in [
            "*",
            "arn:aws:iam::123456789012:role",
            "arn:aws:iam::1234*:role/x",
            "arn:*:iam::123456789012:role/x",
            "arn:aws:iam::123456789012:*",
            "arn:aws:iam::123456789012:role/x?",
            "arn:aws:iam::123456789012:role/***",
            "arn:aws:iam::123456789012:role/aws-service-role/x.amazonaws.com/y",
            "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Admin_1",
        ] {
            assert!(bad.parse::<RolePattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_role_that_fits_begins_with_the_literal_text() {
        for pattern in [
            "arn:aws:iam::123456789012:role/team-a/deep/reader",
            "arn:aws:iam::123456789012:role/team-a/**",
            "arn:aws:iam::*:role/**/reader",
            "arn:aws:iam::123456789012:role/**",
        ] {
            let role = "arn:aws:iam::123456789012:role/team-a/deep/reader";
            assert!(matches(pattern, role));
            let literal = pattern.parse::<RolePattern>().unwrap();
            assert!(role.starts_with(literal.literal()), "{pattern}");
        }
    }

    #[test]
    fn exact_then_longest_prefix() {
        let at = |text: &str| text.parse::<RolePattern>().unwrap().specificity();
        let exact = at("arn:aws:iam::123456789012:role/a");
        let long = at("arn:aws:iam::123456789012:role/team-a/*");
        let short = at("arn:aws:iam::123456789012:role/**");
        assert!(exact > long && long > short && short > at("arn:aws:iam::*:role/team-a/*"));
    }
}
