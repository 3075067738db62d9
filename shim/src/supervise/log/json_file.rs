//! Docker's json-file: `{"log":"LINE\n","stream":"stdout","time":"TIME"}`, one record a line.
//!
//! A piece of a longer line has no `\n` at its end. JSON is text: what isn't UTF-8 becomes U+FFFD, as
//! with Docker, so output that isn't text belongs into another log.

use std::fmt::Write;

use super::file::LogFile;
use super::lines::Joiner;
use crate::supervise::Source;

/// A log file in this form.
#[derive(Debug)]
pub(super) struct JsonFile {
    pub(super) file: LogFile,
    joiner: Joiner,
    /// Of stdout and of stderr: the beginning of a character that a piece was cut in.
    cut: [Vec<u8>; 2],
}

impl JsonFile {
    pub(super) fn new(file: LogFile) -> Self {
        JsonFile {
            file,
            joiner: Joiner::default(),
            cut: Default::default(),
        }
    }

    /// Writes the lines that `bytes` complete.
    pub(super) fn write(&mut self, source: Source, bytes: &[u8]) {
        let end = end_of_record(source);
        let (file, cut) = (&mut self.file, &mut self.cut[source as usize]);
        self.joiner.join(source, bytes, |text, ended| {
            let joined = [std::mem::take(cut).as_slice(), text].concat();
            let whole = if ended {
                joined.len()
            } else {
                whole_characters(&joined)
            };
            cut.extend_from_slice(&joined[whole..]);
            record(file, &joined[..whole], ended, &end);
        });
    }

    /// Writes the line that won't be completed.
    pub(super) fn end(&mut self, source: Source) {
        let cut = std::mem::take(&mut self.cut[source as usize]);
        let text = [cut, self.joiner.end(source)].concat();
        if !text.is_empty() {
            record(&mut self.file, &text, false, &end_of_record(source));
        }
    }
}

/// How many bytes of `text` there are before a character that its end has cut.
fn whole_characters(text: &[u8]) -> usize {
    // A character has at most four bytes; the first of several is the last one above 0xc0.
    let tail = text.len().saturating_sub(3);
    let first = text[tail..].iter().rposition(|byte| *byte >= 0xc0);
    match first.map(|at| tail + at) {
        Some(at)
            if std::str::from_utf8(&text[at..]).is_err_and(|error| error.error_len().is_none()) =>
        {
            at
        }
        _ => text.len(),
    }
}

fn end_of_record(source: Source) -> String {
    format!(
        "\",\"stream\":\"{}\",\"time\":\"{}\"}}\n",
        source.name(),
        super::now()
    )
}

fn record(file: &mut LogFile, text: &[u8], ended: bool, end: &str) {
    let text = escaped(&String::from_utf8_lossy(text));
    let end = if ended {
        format!("\\n{end}")
    } else {
        end.to_owned()
    };
    file.record(b"{\"log\":\"", text.as_bytes(), end.as_bytes());
}

/// The inside of a JSON string (RFC 8259, section 7). Like Docker, also what HTML and JavaScript would
/// mistake for something else stays as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\0'..='\x1f' => {
                // Writing to a String can't fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_with_a_whole_character() {
        for (text, whole) in [
            ("a\u{e9}".as_bytes(), 3),
            (b"a\xc3", 1),
            (b"a\xe2\x82", 1),
            (b"a\xf0\x9f\x98", 1),
            (b"a\xff", 2),
            (b"a\x82\x82\x82", 4),
            (b"", 0),
        ] {
            assert_eq!(whole_characters(text), whole, "{text:x?}");
        }
    }

    #[test]
    fn what_json_reserves_is_escaped() {
        let text = "a\"b\\c\td\r\x1b[0m\u{1}ü\u{2028}";
        let parsed: String = serde_json::from_str(&format!("\"{}\"", escaped(text))).unwrap();
        assert_eq!(parsed, text);
    }
}
