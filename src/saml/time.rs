//! Times as SAML writes them: `YYYY-MM-DDThh:mm:ss[.fraction]Z`, and nothing else.
//!
//! It never guesses a zone and never takes a local time, a leap second or a week date.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// Reads a time; `None` for any other format or a day that does not exist.
pub(super) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let shape = b"0000-00-00T00:00:00";
    let fits = |(byte, wanted): (u8, &u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        other => byte == *other,
    };
    if whole.len() != shape.len() || !whole.bytes().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| whole.get(from..to)?.parse::<u32>().ok();
    let year = i32::try_from(number(0, 4)?).ok()?;
    NaiveDate::from_ymd_opt(year, number(5, 7)?, number(8, 10)?)?
        .and_hms_nano_opt(
            number(11, 13)?,
            number(14, 16)?,
            number(17, 19)?,
            nanoseconds(fraction)?,
        )
        .map(|time| time.and_utc())
}

/// One to eighteen digits; what is finer than a nanosecond is dropped.
fn nanoseconds(fraction: Option<&str>) -> Option<u32> {
    let Some(digits) = fraction else {
        return Some(0);
    };
    let plain =
        (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain {
        return None;
    }
    let padded: String = digits
        .chars()
        .chain(std::iter::repeat('0'))
        .take(9)
        .collect();
    padded.parse().ok()
}

/// `at` moved by `step`; the end of time where that is out of range.
pub(super) fn later(at: DateTime<Utc>, step: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(step)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `at` moved back by `step`; the beginning of time where that is out of range.
pub(super) fn earlier(at: DateTime<Utc>, step: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(step)
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_identity_providers_send() {
        for (text, wanted) in [
            ("2026-11-21T05:00:00Z", "2026-11-21T05:00:00+00:00"),
            ("2026-11-21T05:00:00.123Z", "2026-11-21T05:00:00.123+00:00"),
            (
                "2024-02-29T23:59:59.9999999Z",
                "2024-02-29T23:59:59.999999900+00:00",
            ),
        ] {
            assert_eq!(parse(text).unwrap().to_rfc3339(), wanted);
        }
    }

    #[test]
    fn refuses_every_other_format() {
        for bad in [
            "",
            "Z",
            "2026-11-21",
            "2026-11-21T05:00:00",
            "2026-11-21T05:00:00+00:00",
            "2026-11-21 05:00:00Z",
            "2026-11-21t05:00:00Z",
            "2026-11-21T05:00:00z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T05:00:60Z",
            "2026-02-29T05:00:00Z",
            "2026-13-01T05:00:00Z",
            "2026-11-21T05:00:00.Z",
            "2026-11-21T05:00Z",
            " 2026-11-21T05:00:00Z",
            "2026-11-21T05:00:00Z\n",
            "+026-11-21T05:00:00Z",
            "12026-11-21T05:00:00Z",
            "2026-11-21T05:00:00.+1Z",
            "٢٠٢٦-11-21T05:00:00Z",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
