//! Identifiers that rolegate makes: a prefix that says of what, then a ULID, so that they sort by time.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use ulid::Ulid;

use super::{Clock, Entropy};

/// A text that is no such identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?} is no identifier of a {what}; it starts with `{prefix}`")]
pub struct IdError {
    what: &'static str,
    prefix: &'static str,
    found: String,
}

fn fresh(clock: &dyn Clock, entropy: &dyn Entropy) -> Ulid {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let milliseconds = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
    Ulid::from_parts(milliseconds, u128::from_be_bytes(bytes))
}

fn made_at(tail: &str) -> Option<DateTime<Utc>> {
    let milliseconds = Ulid::from_string(tail).ok()?.timestamp_ms();
    DateTime::from_timestamp_millis(i64::try_from(milliseconds).ok()?)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one: the time now and 80 random bits.
            pub fn fresh(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
                Self(format!(concat!($prefix, "{}"), fresh(clock, entropy).to_string().to_ascii_lowercase()))
            }

            /// When it was made, as it says itself.
            pub fn made_at(&self) -> Option<DateTime<Utc>> {
                made_at(self.0.strip_prefix($prefix)?)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let tail = text.strip_prefix($prefix).unwrap_or("");
                let good = (1..=64).contains(&tail.len())
                    && tail.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                if good {
                    return Ok(Self(text.to_owned()));
                }
                Err(IdError { what: $what, prefix: $prefix, found: text.chars().take(80).collect() })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An entry of the allow-list.
    EntryId, "allow-list entry", "ent_"
}
id! {
    /// A session.
    SessionId, "session", "ses_"
}
id! {
    /// A lease.
    LeaseId, "lease", "lea_"
}
id! {
    /// A token's record (not the token).
    TokenId, "token", "tok_"
}
id! {
    /// A key pair of rolegate's own.
    ServiceKeyId, "key", "key_"
}
id! {
    /// A key that relay tokens are signed with; their `kid`.
    RelayKeyId, "relay key", "rky_"
}
id! {
    /// A hold.
    HoldId, "hold", "hld_"
}
id! {
    /// What a refusal shows and the log repeats, so that one can be found by the other.
    Reference, "refusal", "ref_"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FixedClock, OsEntropy};

    #[test]
    fn an_identifier_says_when_it_was_made() {
        let now: DateTime<Utc> = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let made = Reference::fresh(&FixedClock::new(now), &OsEntropy);
        assert_eq!(made.made_at(), Some(now));
        let other: Reference = "ref_1".parse().unwrap();
        assert_eq!(other.made_at(), None);
    }
}
