//! A time as people write it in a question to the audit.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use thiserror::Error;

/// A time, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The time itself.
    At(DateTime<Utc>),
    /// So long before now.
    Ago(TimeDelta),
}

/// What is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "write a time such as 2026-01-31T12:00:00Z, a date such as 2026-01-31 (its beginning in UTC), or how long ago: 90m, 24h, 7d"
)]
pub struct BadMoment;

impl Moment {
    /// The time, where it is `now`.
    pub fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now
                .checked_sub_signed(ago)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

impl FromStr for Moment {
    type Err = BadMoment;

    fn from_str(text: &str) -> Result<Self, BadMoment> {
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(at.to_utc()));
        }
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            return Ok(Self::At(day.and_time(NaiveTime::MIN).and_utc()));
        }
        let unit = text.chars().last().ok_or(BadMoment)?;
        let number = text.strip_suffix(unit).unwrap_or_default();
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadMoment);
        }
        let number: i64 = number.parse().map_err(|_| BadMoment)?;
        let ago = match unit {
            's' => TimeDelta::try_seconds(number),
            'm' => TimeDelta::try_minutes(number),
            'h' => TimeDelta::try_hours(number),
            'd' => TimeDelta::try_days(number),
            'w' => TimeDelta::try_weeks(number),
            _ => None,
        };
        ago.map(Self::Ago).ok_or(BadMoment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_durations_are_read_and_nothing_else() {
        let now: DateTime<Utc> = "2026-02-01T00:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00.250Z", "2026-01-31T12:00:00.250Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("24h", "2026-01-31T00:00:00Z"),
            ("90m", "2026-01-31T22:30:00Z"),
            ("2d", "2026-01-30T00:00:00Z"),
            ("1w", "2026-01-25T00:00:00Z"),
            ("0s", "2026-02-01T00:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(
                moment.at(now),
                at.parse::<DateTime<Utc>>().unwrap(),
                "{text}"
            );
        }
        for text in [
            "",
            "h",
            "-1h",
            "+1h",
            "1",
            "1y",
            "yesterday",
            "2026-13-01",
            "2026-01-31 12:00",
            "1é",
            "99999999999999999999d",
            "9223372036854775807d",
        ] {
            assert_eq!(text.parse::<Moment>(), Err(BadMoment), "{text}");
        }
        assert_eq!(
            Moment::Ago(TimeDelta::MAX).at(now),
            DateTime::<Utc>::MIN_UTC
        );
    }
}
