//! Durations as Go writes them: `1m30s`, `1.5h`, `500ms`.

use anyhow::{Result, bail};

/// Nanoseconds of a duration.
pub fn nanoseconds(text: &str) -> Result<i64> {
    let mut rest = text;
    let mut total: f64 = 0.0;
    if rest.is_empty() {
        bail!("a duration is missing");
    }
    if rest == "0" {
        return Ok(0);
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => bail!("'{}' is no duration such as 1m30s", text.escape_debug()),
        };
        let Ok(number) = number.parse::<f64>() else {
            bail!("'{}' is no duration such as 1m30s", text.escape_debug());
        };
        total += number * factor;
        rest = after;
    }
    // 2^63: what Go holds.
    if total >= 9_223_372_036_854_775_808.0 {
        bail!("the duration '{text}' is too long");
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    Ok(total.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::nanoseconds;

    #[test]
    fn as_in_go() {
        for (text, expected) in [
            ("0", 0),
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("250ms", 250_000_000),
        ] {
            assert_eq!(nanoseconds(text).unwrap(), expected);
        }
        for text in ["", "5", "s", "1x", "-1s", "1..5s", "9999999999h"] {
            assert!(nanoseconds(text).is_err(), "{text}");
        }
    }
}
