//! Dates that go into images: RFC 3339, and `SOURCE_DATE_EPOCH`, which stands for "now" where the
//! same input is to give the same bytes (<https://reproducible-builds.org/specs/source-date-epoch/>).

use anyhow::{Context, Result};
use jiff::Timestamp;

/// The seconds in `SOURCE_DATE_EPOCH`; nothing if it isn't set, or empty.
pub fn source_date_epoch() -> Result<Option<i64>> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    let Some(value) = std::env::var_os(NAME).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let seconds = value.to_str().and_then(|value| value.parse().ok());
    seconds
        .map(Some)
        .with_context(|| format!("{NAME}={} is not a number of seconds", value.display()))
}

/// The time of a change: `SOURCE_DATE_EPOCH`, or now.
pub fn now_or_epoch() -> Result<String> {
    let timestamp = match source_date_epoch()? {
        Some(seconds) => Timestamp::from_second(seconds).context("SOURCE_DATE_EPOCH")?,
        None => Timestamp::now(),
    };
    Ok(timestamp.to_string())
}

/// Checks a date that a caller gives: RFC 3339 section 5.6, as image-spec wants it and Go's
/// `time.RFC3339Nano` reads it. It is kept as it was written.
pub fn checked(text: &str) -> Result<String, String> {
    let bad = || format!("'{}' is not an RFC 3339 date", text.escape_debug());
    let bytes = text.as_bytes();
    // jiff reads all of ISO 8601; RFC 3339 has one form.
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
        .iter()
        .all(|&(at, wanted)| bytes.get(at) == Some(&wanted));
    let numbers = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19];
    if !fixed || !numbers.into_iter().all(digits) {
        return Err(bad());
    }
    let rest = &text[19..];
    let zone =
        rest.trim_start_matches(|character: char| character == '.' || character.is_ascii_digit());
    let offset = zone.len() == 6 && zone.starts_with(['+', '-']) && zone.as_bytes()[3] == b':';
    if zone != "Z" && !offset {
        return Err(bad());
    }
    match text.parse::<Timestamp>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_rfc_3339() {
        for good in [
            "2016-03-25T12:34:02.655002+11:00",
            "1997-03-25T13:40:00+01:00",
            "2024-02-29T23:59:59Z",
            "2024-01-01T00:00:00.123456789-00:30",
        ] {
            assert_eq!(checked(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "Jan 04 2004",
            "not a date",
            "2024-02-30T00:00:00Z",
            "2024-01-01T25:00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00",
            "20240101T000000Z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00Z[UTC]",
            "2024-01-01T00:00:00.Z",
        ] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
