//! What came from an image, for a terminal: quoted where it could be misread or could steer it.

/// The text as it is if it is plain, else as Go's `strconv.Quote` has it. With `exactly`, white
/// space and emptiness make it quoted too.
pub(super) fn quote(text: &str, exactly: bool) -> String {
    let plain = text.chars().all(is_plain);
    let blank = text.is_empty() || text.contains(char::is_whitespace);
    if plain && !(exactly && blank) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// As [`quote`], for one of several values with commas between.
pub(super) fn quote_in_list(text: &str) -> String {
    if text.contains(',') {
        quoted(text)
    } else {
        quote(text, true)
    }
}

fn is_plain(character: char) -> bool {
    !matches!(character, '"' | '\\') && is_printable(character)
}

/// Go prints no white space but the ASCII space, and neither do we.
fn is_printable(character: char) -> bool {
    let mut escaped = character.escape_debug();
    matches!(character, '"' | '\\' | '\'')
        || escaped.len() == 1
            && escaped.next() == Some(character)
            && (character == ' ' || !character.is_whitespace())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            _ if is_printable(character) => quoted.push(character),
            _ => quoted.push_str(&escaped(u32::from(character))),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped(code: u32) -> String {
    match code {
        ..=0x7f => format!("\\x{code:02x}"),
        0x80..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_misread_is_quoted() {
        for (text, shown) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a\tb\u{b}c\u{1b}[31m", "\"a\\tb\\vc\\x1b[31m\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("it's", "it's"),
            ("w\u{f6}rld", "w\u{f6}rld"),
            ("\u{202e}x", "\"\\u202ex\""),
        ] {
            assert_eq!(quote(text, true), shown);
        }
        assert_eq!(quote("two words", false), "two words");
        assert_eq!(quote_in_list("a,b"), "\"a,b\"");
    }
}
