//! Durations and sizes as runc's command line takes them.

use std::time::Duration;

/// Go's `time.ParseDuration`: numbers with units, such as `1m30s`, `1.5h`, `100ms`; what is
/// below zero is zero. None if it is none.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .filter(|length| *length > 0)?;
        let unit = rest[number..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |length| number + length);
        let seconds = match &rest[number..unit] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = rest[..number].parse().ok()?;
        sum = sum.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = &rest[unit..];
    }
    Some(if negative { Duration::ZERO } else { sum })
}

/// A size in bytes as Docker writes it: `1048576`, `1024k`, `1.5 GiB`, in powers of 1024. `Err` is
/// what is wrong.
pub(super) fn size(text: &str) -> Result<i64, String> {
    if let Ok(bytes) = text.parse::<i64>() {
        return if bytes < 0 {
            Err(format!("invalid size: '{text}'"))
        } else {
            Ok(bytes)
        };
    }
    let end = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.')
        .ok_or_else(|| format!("invalid size: '{text}'"))?;
    let (number, suffix) = text.split_at(end + 1);
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix);
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = number
        .parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| format!("invalid size: '{text}'"))?;
    let suffix = suffix.to_ascii_lowercase();
    let power = match suffix.strip_suffix('b').unwrap_or(&suffix) {
        "" => 0,
        "k" | "ki" => 1,
        "m" | "mi" => 2,
        "g" | "gi" => 3,
        "t" | "ti" => 4,
        "p" | "pi" => 5,
        _ => return Err(format!("invalid suffix: '{suffix}'")),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a float's whole part")]
    Ok((number * 1024_f64.powi(power)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go() {
        for (text, milliseconds) in [
            ("5s", 5_000),
            ("100ms", 100),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("+2000us", 2),
            ("3000000ns", 3),
            ("1000µs", 1),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for zero in ["0", "0s", "-1s", "-0"] {
            assert_eq!(duration(zero), Some(Duration::ZERO), "{zero}");
        }
        for bad in ["", "5", "s", "5 s", "1d", "1s2", "--1s", "é"] {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_of_docker() {
        for (text, bytes) in [
            ("52428800", 52_428_800),
            ("50M", 52_428_800),
            ("50MiB", 52_428_800),
            ("50 mb", 52_428_800),
            ("1.5g", 1_610_612_736),
            ("7b", 7),
            ("0", 0),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in [
            "", "M", "-5", "-5M", "5X", "5MX", "5  M", "x5M", "1e3", "5bb",
        ] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
