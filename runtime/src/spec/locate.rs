//! From a byte of a JSON text to its JSON pointer (RFC 6901), so that a type error can say
//! `/mounts/3/options` instead of a line and a column of a file that an engine wrote in one line.

/// The pointer of the value at which a reader stopped that has read so many bytes: the one that it
/// is in, or is about to read, or has just come to the end of. Works on truncated and wrong JSON
/// too: it follows brackets, strings, colons and commas, nothing else.
pub(super) fn pointer_at(text: &str, consumed: usize) -> String {
    enum Open<'a> {
        Object(Option<&'a str>),
        Array(usize),
    }
    let bytes = text.as_bytes();
    let end = consumed.min(bytes.len());
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut last_string: Option<&str> = None;
    let mut at = 0;
    while at < end {
        match bytes[at] {
            b'{' => open.push(Open::Object(None)),
            b'[' => open.push(Open::Array(0)),
            // Of an object that has just ended, what is wrong is the whole: a field is missing.
            b'}' | b']' if at + 1 == end => {
                if let Some(Open::Object(key)) = open.last_mut() {
                    *key = None;
                }
            }
            b'}' | b']' => {
                open.pop();
            }
            b':' => {
                if let Some(Open::Object(key)) = open.last_mut() {
                    *key = last_string.take();
                }
            }
            b',' => match open.last_mut() {
                Some(Open::Array(index)) => *index += 1,
                Some(Open::Object(key)) => *key = None,
                None => {}
            },
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                last_string = text.get(start..at.min(bytes.len()));
            }
            _ => {}
        }
        at += 1;
    }
    let mut pointer = String::new();
    for level in &open {
        match level {
            Open::Object(Some(key)) => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Open::Object(None) => {}
            Open::Array(index) => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::pointer_at;

    #[test]
    fn points_into_nested_values() {
        let text = r#"{"a":{"b/c":[1,{"d":"x,\"y"},true]},"e":5}"#;
        // A value is known by its first byte, an object or a list before that.
        let of = |needle: &str| pointer_at(text, text.find(needle).unwrap() + 1);
        assert_eq!(of(r#":{"b"#), "/a");
        assert_eq!(of("[1"), "/a/b~1c/0");
        assert_eq!(of("1,{"), "/a/b~1c/0");
        assert_eq!(of(r#",{"d"#), "/a/b~1c/1");
        assert_eq!(of("},true"), "/a/b~1c/1");
        assert_eq!(of("x,"), "/a/b~1c/1/d");
        assert_eq!(of("true"), "/a/b~1c/2");
        assert_eq!(of("5}"), "/e");
    }

    #[test]
    fn survives_truncation_and_nonsense() {
        assert_eq!(pointer_at(r#"{"a":["#, 99), "/a/0");
        assert_eq!(pointer_at(r#"]]}{"x"#, 99), "");
        assert_eq!(pointer_at(r#"{"a":"\"#, 99), "/a");
    }
}
