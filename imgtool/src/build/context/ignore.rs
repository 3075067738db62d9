//! `.dockerignore`: what of the context is none of it
//! (docs.docker.com/build/concepts/context, ".dockerignore files").

use anyhow::{Context, Result, bail};

use crate::layer::path::ImagePath;

/// The patterns of one file. Later ones win; `!` brings back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    brings_back: bool,
    parts: Vec<Part>,
}

/// A part of a pattern over a whole path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `**`: anything.
    Deep,
    /// `**/`: nothing, or any directories.
    Directories,
    /// `*`: anything without a slash.
    Any,
    /// `?`: one character but a slash.
    One,
    Byte(u8),
    /// `[a-z]`, `[^a-z]`: one byte.
    Class {
        negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Ignore {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let context = || format!("line {}: '{}'", number + 1, line.escape_debug());
            rules.extend(rule(line).with_context(context)?);
        }
        Ok(Ignore(rules))
    }

    /// The same from patterns that an instruction gives.
    pub fn of_patterns(patterns: &[String]) -> Result<Self> {
        let mut rules = Vec::new();
        for pattern in patterns {
            rules.extend(rule(pattern).with_context(|| format!("'{}'", pattern.escape_debug()))?);
        }
        Ok(Ignore(rules))
    }

    /// Whether a path is left out: the last pattern counts that matches it or a directory above it.
    pub fn leaves_out(&self, path: &ImagePath) -> bool {
        let mut left_out = false;
        for rule in &self.0 {
            if rule.brings_back == left_out && rule.matches_with_parents(path.as_bytes()) {
                left_out = !rule.brings_back;
            }
        }
        left_out
    }

    /// Whether something below a directory that is left out may be none the less in.
    pub fn may_bring_back(&self) -> bool {
        self.0.iter().any(|rule| rule.brings_back)
    }
}

impl Rule {
    fn matches_with_parents(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes
            .map(|(at, _)| at)
            .chain([path.len()])
            .any(|end| self.matches(&path[..end]))
    }

    /// All states at once, so that no pattern takes long: which parts may come next, and which
    /// `**/` are in the middle of a directory's name.
    fn matches(&self, path: &[u8]) -> bool {
        let parts = &self.parts;
        let mut next = vec![false; parts.len() + 1];
        let mut within = vec![false; parts.len()];
        enter(parts, &mut next, 0);
        for &byte in path {
            let mut after = vec![false; parts.len() + 1];
            for (number, part) in parts.iter().enumerate() {
                if !next[number] && !within[number] {
                    continue;
                }
                let goes_on = match part {
                    Part::Deep => {
                        enter(parts, &mut after, number);
                        false
                    }
                    Part::Directories => {
                        within[number] = true;
                        byte == b'/'
                    }
                    Part::Any => {
                        if byte != b'/' {
                            enter(parts, &mut after, number);
                        }
                        false
                    }
                    Part::One => byte != b'/',
                    Part::Byte(wanted) => *wanted == byte,
                    Part::Class { negated, ranges } => {
                        let listed = ranges
                            .iter()
                            .any(|(low, high)| (*low..=*high).contains(&byte));
                        byte != b'/' && listed != *negated
                    }
                };
                if goes_on {
                    enter(parts, &mut after, number + 1);
                }
            }
            next = after;
        }
        next[parts.len()]
    }
}

/// A part may come next; what follows it too, if it may match nothing.
fn enter(parts: &[Part], next: &mut [bool], number: usize) {
    for (number, may_come) in next.iter_mut().enumerate().skip(number) {
        *may_come = true;
        let may_be_empty = |part| matches!(part, &Part::Deep | &Part::Directories | &Part::Any);
        if !parts.get(number).is_some_and(may_be_empty) {
            return;
        }
    }
}

/// The rule of a line, if it is one.
fn rule(line: &str) -> Result<Option<Rule>> {
    let line = line.trim();
    let (brings_back, pattern) = match line.strip_prefix('!') {
        Some(pattern) => (true, pattern.trim()),
        None => (false, line),
    };
    if pattern.is_empty() {
        if brings_back {
            bail!("'!' is followed by nothing");
        }
        return Ok(None);
    }
    let clean = clean(pattern);
    // "." is the context itself, which is always there.
    if clean.is_empty() {
        return Ok(None);
    }
    Ok(Some(Rule {
        brings_back,
        parts: parts(clean.as_bytes())?,
    }))
}

/// Go's `path.Clean`, without a leading slash.
fn clean(pattern: &str) -> String {
    let mut components: Vec<&str> = Vec::new();
    for component in pattern.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    components.join("/")
}

fn parts(pattern: &[u8]) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        parts.push(match byte {
            b'*' if rest.starts_with(b"*") => {
                rest = &rest[1..];
                match rest.strip_prefix(b"/") {
                    Some(after) => {
                        rest = after;
                        Part::Directories
                    }
                    None => Part::Deep,
                }
            }
            b'*' => Part::Any,
            b'?' => Part::One,
            b'\\' => {
                let Some((&escaped, after)) = rest.split_first() else {
                    bail!("a pattern can't end with a backslash");
                };
                rest = after;
                Part::Byte(escaped)
            }
            b'[' => {
                let (class, after) = class(rest).context("'[' has no ']'")?;
                rest = after;
                class
            }
            byte => Part::Byte(byte),
        });
    }
    Ok(parts)
}

fn class(text: &[u8]) -> Option<(Part, &[u8])> {
    let (negated, mut rest) = match text.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let low = match byte {
            b']' if !ranges.is_empty() => return Some((Part::Class { negated, ranges }, rest)),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                rest = after;
                escaped
            }
            byte => byte,
        };
        let mut high = low;
        if let Some(after) = rest.strip_prefix(b"-") {
            let (&end, after) = after.split_first()?;
            (high, rest) = (end, after);
        }
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(ignore: &str, path: &str) -> bool {
        let path = ImagePath::parse(path.as_bytes()).unwrap();
        Ignore::parse(ignore).unwrap().leaves_out(&path)
    }

    #[test]
    fn patterns_are_of_whole_paths() {
        for (ignore, path, expected) in [
            ("foo", "foo", true),
            ("foo", "foo/bar", true),
            ("foo", "a/foo", false),
            ("/foo/", "foo", true),
            ("./a/../foo", "foo", true),
            ("*/temp*", "a/temporary/x", true),
            ("*/temp*", "temp", false),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("**/*.go", "x.go", true),
            ("**/*.go", "a/b/x.go", true),
            ("**/foo/bar", "a/foo/bar/x", true),
            ("**/foo", "afoo", false),
            ("a/**", "a/b/c", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "ab", false),
            ("**", "x/y", true),
            ("*.md\n!README*.md", "README.md", false),
            ("*.md\n!README*.md", "a.md", true),
            (
                "*.md\n!README*.md\nREADME-secret.md",
                "README-secret.md",
                true,
            ),
            (
                "*.md\nREADME-secret.md\n!README*.md",
                "README-secret.md",
                false,
            ),
            ("dir\n!dir/keep", "dir/keep", false),
            ("dir\n!dir/keep", "dir/other", true),
            ("# c\n \n#x", "#x", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            (".", "a", false),
            ("*\n!x", "x", false),
        ] {
            assert_eq!(left_out(ignore, path), expected, "{ignore:?} {path}");
        }
        for ignore in ["!", "[", "a\\", "[]"] {
            assert!(Ignore::parse(ignore).is_err(), "{ignore}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let ignore = "**/*a".repeat(200);
        assert!(!left_out(&ignore, &"aa/".repeat(80)));
    }
}
