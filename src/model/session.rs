//! How long an AWS session may last.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A session length that AWS takes: 900 to 43,200 whole seconds (STS API, `DurationSeconds`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SessionDuration(u32);

/// Why a number of seconds is no session duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not a plain decimal number.
    #[error("is no whole number of seconds; send digits alone, such as 3600")]
    NotANumber,
    /// Outside what AWS takes.
    #[error("is outside the 900 to 43200 seconds that AWS takes")]
    OutOfRange,
}

impl SessionDuration {
    /// 900 s: AWS issues nothing shorter.
    pub const MIN: Self = Self(900);
    /// 43,200 s, twelve hours: AWS issues nothing longer.
    pub const MAX: Self = Self(43_200);
    /// 3,600 s: AWS's default, and what every role permits.
    pub const DEFAULT: Self = Self(3600);

    /// A duration of `seconds`.
    pub fn from_seconds(seconds: u32) -> Result<Self, DurationError> {
        if (Self::MIN.0..=Self::MAX.0).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(DurationError::OutOfRange)
        }
    }

    /// Reads the `SessionDuration` attribute: `[1-9][0-9]*` and nothing else, no sign, no leading
    /// zero, no fraction.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let plain = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && !text.starts_with('0');
        if !plain {
            return Err(DurationError::NotANumber);
        }
        let seconds = text.parse().map_err(|_| DurationError::OutOfRange)?;
        Self::from_seconds(seconds)
    }

    /// The whole seconds.
    pub fn seconds(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for SessionDuration {
    type Error = DurationError;

    fn try_from(seconds: u32) -> Result<Self, DurationError> {
        Self::from_seconds(seconds)
    }
}

impl From<SessionDuration> for u32 {
    fn from(duration: SessionDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for SessionDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_numbers_in_range_alone() {
        assert_eq!(SessionDuration::parse("900"), Ok(SessionDuration::MIN));
        assert_eq!(SessionDuration::parse("43200"), Ok(SessionDuration::MAX));
        for bad in [
            "", "+3600", "03600", "3600.0", "1e4", "-1", " 900", "900\n", "٣٦٠٠",
        ] {
            assert_eq!(
                SessionDuration::parse(bad),
                Err(DurationError::NotANumber),
                "{bad:?}"
            );
        }
        for bad in ["899", "43201", "18446744073709551616"] {
            assert_eq!(
                SessionDuration::parse(bad),
                Err(DurationError::OutOfRange),
                "{bad:?}"
            );
        }
    }
}
