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

/// Reads an xs:duration (XML Schema 2, 3.2.6), a month taken as 30 days and a year as 365; `None` for a
/// negative one and for what is none.
pub(super) fn duration(text: &str) -> Option<TimeDelta> {
    let rest = text.strip_prefix('P')?;
    let (days, clock) = match rest.split_once('T') {
        Some((days, clock)) if !clock.is_empty() => (days, clock),
        None if !rest.is_empty() => (rest, ""),
        _ => return None,
    };
    let days = units(days, &[('Y', 31_536_000), ('M', 2_592_000), ('D', 86_400)])?;
    let clock = units(clock, &[('H', 3600), ('M', 60), ('S', 1)])?;
    TimeDelta::try_seconds(days.checked_add(clock)?)
}

/// The seconds of numbers with their units, each once and in order; a fraction of a second is dropped.
fn units(text: &str, sizes: &[(char, i64)]) -> Option<i64> {
    let mut sizes = sizes.iter();
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, tail) = rest.split_at_checked(end)?;
        let unit = tail.chars().next()?;
        let (_, size) = sizes.find(|(letter, _)| *letter == unit)?;
        let whole = match number.split_once('.') {
            Some((whole, fraction)) if unit == 'S' => {
                nanoseconds(Some(fraction))?;
                whole
            }
            _ => number,
        };
        let plain = whole.bytes().all(|byte| byte.is_ascii_digit());
        let count: u32 = whole.parse().ok().filter(|_| plain)?;
        total = total.checked_add(i64::from(count).checked_mul(*size)?)?;
        rest = tail.get(1..)?;
    }
    Some(total)
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
    fn reads_durations_and_nothing_else() {
        for (text, wanted) in [
            ("PT1H", 3600),
            ("P1D", 86_400),
            ("PT1M30.5S", 90),
            (
                "P1Y2M3DT4H5M6S",
                31_536_000 + 2 * 2_592_000 + 3 * 86_400 + 4 * 3600 + 306,
            ),
            ("PT0S", 0),
        ] {
            assert_eq!(duration(text), Some(TimeDelta::seconds(wanted)), "{text}");
        }
        for bad in [
            "",
            "P",
            "PT",
            "P1DT",
            "-PT1H",
            "PT-1H",
            "PT+1H",
            "1H",
            "PT1",
            "PTH",
            "PT1H1H",
            "PT1M1H",
            "P1H",
            "PT1.5H",
            "PT1.S",
            "PT99999999999S",
            "PT1h",
        ] {
            assert_eq!(duration(bad), None, "{bad:?}");
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
