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
}

impl JsonFile {
    pub(super) fn new(file: LogFile) -> Self {
        JsonFile {
            file,
            joiner: Joiner::default(),
        }
    }

    /// Writes the lines that `bytes` complete.
    pub(super) fn write(&mut self, source: Source, bytes: &[u8]) {
        let end = end_of_record(source);
        let file = &mut self.file;
        self.joiner.join(source, bytes, |text, ended| {
            record(file, text, ended, &end);
        });
    }

    /// Writes the line that won't be completed.
    pub(super) fn end(&mut self, source: Source) {
        let text = self.joiner.end(source);
        if !text.is_empty() {
            record(&mut self.file, &text, false, &end_of_record(source));
        }
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
    fn what_json_reserves_is_escaped() {
        let text = "a\"b\\c\td\r\x1b[0m\u{1}ü\u{2028}";
        let parsed: String = serde_json::from_str(&format!("\"{}\"", escaped(text))).unwrap();
        assert_eq!(parsed, text);
    }
}
