//! JSON that others wrote is read only if what it becomes is not large: `[[],[],…` takes twenty times its
//! length in memory.

use anyhow::{Result, bail};
use serde::Deserialize;

/// How many values, keys included, a document may hold. Those of real images have some hundreds; each
/// takes up to 120 bytes.
pub const MOST_VALUES: usize = 32 << 10;

/// Reads a document of at most [`MOST_VALUES`].
pub fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T> {
    parse_at_most(json, MOST_VALUES)
}

/// Reads a document of at most so many values.
pub fn parse_at_most<'a, T: Deserialize<'a>>(json: &'a [u8], most: usize) -> Result<T> {
    if values(json) > most {
        bail!("it holds more than our limit of {most} values");
    }
    Ok(serde_json::from_slice(json)?)
}

/// How many values there are at most: before each but the first is one of these, outside strings.
fn values(json: &[u8]) -> usize {
    let mut count = 1;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| **byte != b'"') {
                    if *byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            b'[' | b'{' | b',' | b':' => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_are_counted() {
        for (json, count) in [
            ("1", 1),
            (r#""a,b\",[{:\\""#, 1),
            ("[1,2,[]]", 5),
            (r#"{"a":"b,c","d":{}}"#, 6),
            (r#"["\\",1]"#, 3),
        ] {
            assert_eq!(values(json.as_bytes()), count, "{json}");
            let _: Value = parse_at_most(json.as_bytes(), count).unwrap();
            let refused = parse_at_most::<Value>(json.as_bytes(), count - 1);
            assert!(refused.unwrap_err().to_string().contains("our limit"));
        }
        assert_eq!(values(br#""\"#), 1);
    }
}
