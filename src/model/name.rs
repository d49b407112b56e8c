//! Names with a grammar.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is no such name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is no {what}: it must be {grammar}")]
pub struct NameError {
    what: &'static str,
    grammar: &'static str,
    found: String,
}

fn check(
    text: &str,
    what: &'static str,
    grammar: &'static str,
    lengths: std::ops::RangeInclusive<usize>,
    allowed: fn(u8) -> bool,
) -> Result<(), NameError> {
    if lengths.contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(NameError {
        what,
        grammar,
        found: text.chars().take(80).collect(),
    })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $grammar:literal, $lengths:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text, $what, $grammar, $lengths, $allowed)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// What AWS allows in a role session name, a source identity and our user names.
fn session_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

fn slug_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}

name! {
    /// A role session name (STS API, `RoleSessionName`).
    SessionName, "role session name", "2 to 64 of A-Z a-z 0-9 _ + = , . @ -", 2..=64, session_character
}
name! {
    /// The person's name at one IdP; with the [`IdpName`] it names a person.
    UserName, "user name", "2 to 64 of A-Z a-z 0-9 _ + = , . @ -", 2..=64, session_character
}
name! {
    /// The name that the configuration gives an identity provider; it stands in URLs.
    IdpName, "IdP name", "1 to 64 of A-Z a-z 0-9 _ . -", 1..=64, slug_character
}
name! {
    /// The name of an API token; for a launcher's token this is the launcher.
    TokenName, "token name", "1 to 64 of A-Z a-z 0-9 _ . -", 1..=64, slug_character
}
name! {
    /// A job's name, given by its launcher.
    JobName, "job name", "1 to 128 printable ASCII characters", 1..=128, |byte| (0x20..0x7f).contains(&byte)
}

impl From<UserName> for SessionName {
    /// A user name is a session name: both have AWS's grammar.
    fn from(user: UserName) -> Self {
        Self(user.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_follow_aws() {
        for good in ["ab", "alice@example.org", "a+b=c,d.e-f_g", &"x".repeat(64)] {
            assert!(good.parse::<SessionName>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "a",
            "a b",
            "alice\n",
            "älice",
            "a:b",
            "a/b",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<SessionName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_says_what_to_send() {
        let error = "two words".parse::<SessionName>().unwrap_err().to_string();
        assert!(
            error.contains("role session name") && error.contains("2 to 64"),
            "{error}"
        );
    }
}
