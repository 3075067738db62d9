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
                let unescaped = key.contains('\\').then(|| {
                    serde_json::from_str::<String>(&format!("\"{key}\"")).unwrap_or_default()
                });
                let key = unescaped.as_deref().unwrap_or(key);
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

/// The line and the column (from 1 on, in characters) at which the value of a JSON pointer begins,
/// or, where there is none, the innermost one that there is around it. The text must be JSON. A key
/// that isn't there may be there in other letters' case, as Go's readers have it.
pub fn position_of(text: &str, pointer: &str) -> (usize, usize) {
    let mut at = skip_space(text, 0);
    for name in pointer.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        match inside(text, at, &name) {
            Some(inner) => at = inner,
            None => break,
        }
    }
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Where the member or element of this name begins in the object or list that begins at `at`.
fn inside(text: &str, at: usize, name: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_object = match bytes.get(at)? {
        b'{' => true,
        b'[' => false,
        _ => return None,
    };
    let (mut exact, mut folded) = (None, None);
    let mut at = skip_space(text, at + 1);
    for index in 0.. {
        if matches!(bytes.get(at), None | Some(b'}' | b']')) {
            break;
        }
        if is_object {
            let end = skip_string(text, at);
            let key: String = serde_json::from_str(text.get(at..end)?).ok()?;
            // The colon, and what is around it.
            at = skip_space(text, skip_space(text, end) + 1);
            if key == name {
                exact = Some(at);
            } else if key.eq_ignore_ascii_case(name) {
                folded = Some(at);
            }
        } else if name.parse() == Ok(index) {
            return Some(at);
        }
        at = skip_space(text, skip_value(text, at));
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at = skip_space(text, at + 1);
    }
    exact.or(folded)
}

fn skip_space(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| b.is_ascii_whitespace()).count()
}

fn skip_string(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn skip_value(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = skip_string(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => break,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{pointer_at, position_of};

    #[test]
    fn finds_the_line_and_column_of_a_pointer() {
        let text = "{\n  \"a\": {\"b/c\": [1, {\"d\": \"x,\\\"}y\"},\n   true]},\"\u{e4}\":\"\u{e4}\", \"e\" : 5}";
        assert_eq!(position_of(text, ""), (1, 1));
        assert_eq!(position_of(text, "/a"), (2, 8));
        assert_eq!(position_of(text, "/a/b~1c/0"), (2, 17));
        assert_eq!(position_of(text, "/a/b~1c/1/d"), (2, 26));
        assert_eq!(position_of(text, "/a/b~1c/2"), (3, 4));
        assert_eq!(position_of(text, "/E"), (3, 26));
        // What isn't there would be in what is.
        assert_eq!(position_of(text, "/a/x/y"), (2, 8));
        assert_eq!(position_of(text, "/a/b~1c/9"), (2, 16));
    }

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
