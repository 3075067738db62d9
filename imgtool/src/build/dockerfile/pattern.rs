//! Patterns: a shell's in `${name#pattern}`, Go's `filepath.Match` in the sources of COPY.

use anyhow::{Result, bail};

/// A pattern of `*`, `?` and characters, as the Dockerfile's variables have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellPattern(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Exactly(char),
}

impl ShellPattern {
    /// Reads a pattern; a backslash takes a character's meaning away.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => match rest.next() {
                    Some(c) => Part::Exactly(c),
                    None => bail!("the pattern '{text}' ends with a backslash"),
                },
                c => Part::Exactly(c),
            });
        }
        Ok(ShellPattern(parts))
    }

    /// `value` without the shortest or longest beginning that matches.
    pub fn without_prefix<'a>(&self, value: &'a str, longest: bool) -> &'a str {
        self.match_at(value, longest)
            .map_or(value, |end| &value[end..])
    }

    /// `value` without the shortest or longest end that matches.
    pub fn without_suffix<'a>(&self, value: &'a str, longest: bool) -> &'a str {
        let matches = |start: &usize| self.matches(&value[*start..]);
        let start = if longest {
            boundaries(value).find(matches)
        } else {
            boundaries(value).rev().find(matches)
        };
        start.map_or(value, |start| &value[..start])
    }

    /// `value` with the first match, or every one, replaced; the longest at each place.
    pub fn replace(&self, value: &str, replacement: &str, all: bool) -> Result<String> {
        /// Bytes that a variable may become.
        const LARGEST: usize = 1 << 20;
        let mut result = String::new();
        let mut rest = value;
        let mut may_replace = true;
        loop {
            let found = self.match_at(rest, true).filter(|_| may_replace);
            if let Some(end) = found {
                result.push_str(replacement);
                may_replace = all;
                rest = &rest[end..];
                if end > 0 {
                    continue;
                }
            }
            if result.len() > LARGEST {
                bail!("a variable's value grows to more than {LARGEST} bytes");
            }
            let Some(c) = rest.chars().next() else {
                return Ok(result);
            };
            result.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }

    /// Where the shortest or longest match that begins `value` ends.
    fn match_at(&self, value: &str, longest: bool) -> Option<usize> {
        let matches = |end: &usize| self.matches(&value[..*end]);
        if longest {
            boundaries(value).rev().find(matches)
        } else {
            boundaries(value).find(matches)
        }
    }

    /// Whether all of `text` matches: one look back, to the last `*`, is enough.
    fn matches(&self, text: &str) -> bool {
        let (mut at, mut rest) = (0, text);
        let mut last_any: Option<(usize, &str)> = None;
        loop {
            let c = rest.chars().next();
            match (self.0.get(at), c) {
                (Some(Part::Any), _) => {
                    last_any = Some((at, rest));
                    at += 1;
                }
                (Some(Part::One), Some(c)) => {
                    at += 1;
                    rest = &rest[c.len_utf8()..];
                }
                (Some(Part::Exactly(wanted)), Some(c)) if *wanted == c => {
                    at += 1;
                    rest = &rest[c.len_utf8()..];
                }
                (None, None) => return true,
                _ => {
                    let Some((any, from)) = last_any else {
                        return false;
                    };
                    let Some(skipped) = from.chars().next() else {
                        return false;
                    };
                    rest = &from[skipped.len_utf8()..];
                    last_any = Some((any, rest));
                    at = any + 1;
                }
            }
        }
    }
}

/// Where characters of a text begin, and its end.
fn boundaries(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    text.char_indices()
        .map(|(index, _)| index)
        .chain(std::iter::once(text.len()))
}

/// Whether a name without slashes matches a component of a Go `filepath.Match` pattern: `*`, `?`,
/// `[a-z]`, `[^a-z]`, and a backslash before what has no meaning.
pub fn component_matches(pattern: &[u8], name: &[u8]) -> Result<bool> {
    let parts = components_parts(pattern)?;
    Ok(parts_match(&parts, name))
}

/// Whether a component of a path is a pattern, not a name.
pub fn is_pattern(component: &[u8]) -> bool {
    component.iter().any(|byte| b"*?[\\".contains(byte))
}

/// A part of a component's pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum NamePart {
    Any,
    One,
    Byte(u8),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

fn components_parts(pattern: &[u8]) -> Result<Vec<NamePart>> {
    let malformed = || bail!("'{}' is no pattern", pattern.escape_ascii());
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        parts.push(match byte {
            b'*' => NamePart::Any,
            b'?' => NamePart::One,
            b'\\' => match rest.split_first() {
                Some((&escaped, after)) => {
                    rest = after;
                    NamePart::Byte(escaped)
                }
                None => return malformed(),
            },
            b'[' => {
                let Some((class, after)) = class(rest) else {
                    return malformed();
                };
                rest = after;
                class
            }
            byte => NamePart::Byte(byte),
        });
    }
    Ok(parts)
}

/// What stands between brackets, and what follows.
fn class(text: &[u8]) -> Option<(NamePart, &[u8])> {
    let (negated, mut rest) = match text.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(b"]")
            && !ranges.is_empty()
        {
            return Some((NamePart::Class { negated, ranges }, after));
        }
        let (low, after) = class_character(rest)?;
        rest = after;
        let mut high = low;
        if let Some(after) = rest.strip_prefix(b"-") {
            (high, rest) = class_character(after)?;
        }
        ranges.push((low, high));
    }
}

fn class_character(text: &[u8]) -> Option<(char, &[u8])> {
    match text.first()? {
        b'-' | b']' => None,
        b'\\' => first_character(&text[1..]),
        _ => first_character(text),
    }
}

/// The first character, UTF-8 or a single byte that isn't.
fn first_character(text: &[u8]) -> Option<(char, &[u8])> {
    let chunk = text.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(c) => Some((c, &text[c.len_utf8()..])),
        None => text.first().map(|&byte| (char::from(byte), &text[1..])),
    }
}

fn parts_match(parts: &[NamePart], name: &[u8]) -> bool {
    let (mut at, mut rest) = (0, name);
    let mut last_any: Option<(usize, &[u8])> = None;
    loop {
        let matched = match parts.get(at) {
            Some(NamePart::Any) => {
                last_any = Some((at, rest));
                at += 1;
                continue;
            }
            None if rest.is_empty() => return true,
            None => None,
            Some(NamePart::Byte(byte)) => rest.strip_prefix(std::slice::from_ref(byte)),
            Some(NamePart::One) => first_character(rest).map(|(_, after)| after),
            Some(NamePart::Class { negated, ranges }) => first_character(rest)
                .filter(|(c, _)| {
                    let listed = ranges.iter().any(|(low, high)| (low..=high).contains(&c));
                    listed != *negated
                })
                .map(|(_, after)| after),
        };
        if let Some(after) = matched {
            at += 1;
            rest = after;
            continue;
        }
        let Some((any, from)) = last_any else {
            return false;
        };
        if from.is_empty() {
            return false;
        }
        rest = &from[1..];
        last_any = Some((any, rest));
        at = any + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", ".txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a?c", "abc", true),
            ("a?c", "aäc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[ä]", "ä", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("*", "", true),
            ("a[]b]c", "ac", false),
        ] {
            match component_matches(pattern.as_bytes(), name.as_bytes()) {
                Ok(found) => assert_eq!(found, expected, "{pattern} {name}"),
                Err(_) => assert!(!expected, "{pattern} {name}"),
            }
        }
        for pattern in ["[", "[a", "a\\", "[]", "[-a]", "[a-]"] {
            assert!(
                component_matches(pattern.as_bytes(), b"a").is_err(),
                "{pattern}"
            );
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "a*".repeat(100) + "b";
        let name = "a".repeat(255);
        assert!(!component_matches(pattern.as_bytes(), name.as_bytes()).unwrap());
        let pattern = ShellPattern::parse(&pattern).unwrap();
        assert_eq!(pattern.without_prefix(&name, true), name);
    }
}
