//! A log's records, taken apart: k8s-file's and json-file's.

use std::borrow::Cow;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::supervise::Source;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// When it was written, RFC 3339.
    pub(super) time: Cow<'a, [u8]>,
    /// Where it comes from.
    pub(super) source: Source,
    /// The line ends with it.
    pub(super) full: bool,
    /// The line, or the piece of it, without its newline.
    pub(super) text: Cow<'a, [u8]>,
}

impl<'a> Record<'a> {
    /// Takes a record apart, which ends with a newline; its form shows at its first byte.
    pub(super) fn parse(record: &'a [u8]) -> Result<Self> {
        let parsed = if record.first() == Some(&b'{') {
            Self::parse_json(record)
        } else {
            Self::parse_k8s(record)
        };
        parsed.with_context(|| {
            let beginning = String::from_utf8_lossy(&record[..record.len().min(80)]);
            format!("this is no record of a k8s-file or json-file log: {beginning:?}")
        })
    }

    fn parse_k8s(record: &'a [u8]) -> Option<Self> {
        let mut fields = record.strip_suffix(b"\n")?.splitn(4, |byte| *byte == b' ');
        let time = fields.next()?;
        let source = source(fields.next()?)?;
        let full = match fields.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Record {
            time: Cow::Borrowed(time),
            source,
            full,
            text: Cow::Borrowed(fields.next()?),
        })
    }

    fn parse_json(record: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Json {
            #[serde(default)]
            log: String,
            stream: String,
            time: String,
        }
        let json: Json = serde_json::from_slice(record).ok()?;
        let mut text = json.log.into_bytes();
        let full = text.last() == Some(&b'\n');
        text.truncate(text.len() - usize::from(full));
        Some(Record {
            time: Cow::Owned(json.time.into_bytes()),
            source: source(json.stream.as_bytes())?,
            full,
            text: Cow::Owned(text),
        })
    }
}

fn source(name: &[u8]) -> Option<Source> {
    match name {
        b"stdout" => Some(Source::Stdout),
        b"stderr" => Some(Source::Stderr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let k8s = b"2026-11-22T10:08:14.000000001Z stderr F a \"line\"\n";
        let json =
            br#"{"log":"a \"line\"\n","stream":"stderr","time":"2026-11-22T10:08:14.000000001Z"}
"#;
        assert_eq!(Record::parse(k8s).unwrap(), Record::parse(json).unwrap());
        let partial = br#"{"log":"a","stream":"stdout","time":"2026-11-22T10:08:14Z"}
"#;
        assert!(!Record::parse(partial).unwrap().full);
        for wrong in [
            "\n",
            "x stdout F\n",
            "x stdin F y\n",
            "{}\n",
            "x stdout F no newline",
        ] {
            assert!(Record::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }
}
