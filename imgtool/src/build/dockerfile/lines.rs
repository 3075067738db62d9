//! A Dockerfile's text as logical lines: parser directives read, comments dropped, continued lines
//! joined, here-documents taken along.

use anyhow::{Context, Result, bail};

use super::Place;
use super::heredoc::{self, Heredoc};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// What escapes a character, and continues a line at its end: `\` or `` ` ``.
    pub escape: char,
    /// The lines.
    pub lines: Vec<Line>,
    /// What was read other than its writer may have meant it.
    pub warnings: Vec<String>,
}

/// One instruction's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it begins.
    pub place: Place,
    /// The instruction's name, in capitals.
    pub keyword: String,
    /// What follows it, as one line.
    pub rest: String,
    /// The documents that follow the line.
    pub heredocs: Vec<Heredoc>,
}

/// How large a Dockerfile may be. BuildKit's lines end at 64 KiB, of which here-documents have many.
pub const LARGEST_FILE: u64 = 8 << 20;

/// Reads a Dockerfile. `file` is its name for messages.
pub fn read(text: &str, file: &str) -> Result<Lines> {
    let mut reader = Reader {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        number: 0,
        file,
        warnings: Vec::new(),
    };
    let escape = reader.directives()?;
    let mut lines = Vec::new();
    while let Some(line) = reader.logical_line(escape)? {
        lines.push(line);
    }
    Ok(Lines {
        escape,
        lines,
        warnings: reader.warnings,
    })
}

struct Reader<'a> {
    rest: &'a str,
    /// The number of the line read last.
    number: usize,
    file: &'a str,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// The next line with what ends it.
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.number += 1;
        Some(line)
    }

    fn place(&self, line: usize) -> Place {
        Place {
            file: self.file.to_owned(),
            line,
        }
    }

    /// Reads `# name=value` lines at the top; the first line that isn't one ends them.
    fn directives(&mut self) -> Result<char> {
        let mut escape = '\\';
        let mut seen: Vec<String> = Vec::new();
        loop {
            let before = (self.rest, self.number);
            let Some((name, value)) = self.next().and_then(directive) else {
                (self.rest, self.number) = before;
                return Ok(escape);
            };
            let place = self.place(self.number);
            if seen.contains(&name) {
                bail!("{place}: the parser directive '{name}' is there twice");
            }
            match (name.as_str(), value) {
                ("escape", "\\") => escape = '\\',
                ("escape", "`") => escape = '`',
                ("escape", other) => bail!("{place}: escape is '\\' or '`', not '{other}'"),
                ("check", value) => self.check_directive(value)?,
                // The frontend that BuildKit would fetch; the language is the same.
                _ => {}
            }
            seen.push(name);
        }
    }

    /// `check=skip=…;error=true`: the checks are a linter's, of which we are none; what is asked
    /// for is read all the same, so that a slip in it shows.
    fn check_directive(&mut self, value: &str) -> Result<()> {
        let place = self.place(self.number);
        for part in value
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match part.split_once('=') {
                Some(("skip" | "experimental", _) | ("error", "true" | "false")) => {}
                _ => bail!("{place}: the parser directive check has no '{part}'"),
            }
        }
        Ok(())
    }

    fn logical_line(&mut self, escape: char) -> Result<Option<Line>> {
        let (text, start) = loop {
            let Some(line) = self.next() else {
                return Ok(None);
            };
            let line = line.trim_end_matches(['\r', '\n']).trim_start();
            if !line.is_empty() && !line.starts_with('#') {
                break (line, self.number);
            }
        };
        let (mut joined, mut goes_on) = without_continuation(text, escape);
        while goes_on {
            let Some(line) = self.next() else { break };
            let line = line.trim_end_matches(['\r', '\n']);
            if line.trim_start().starts_with('#') {
                continue;
            }
            if line.trim().is_empty() {
                let place = self.place(self.number);
                self.warnings
                    .push(format!("{place}: an empty line in a continued one"));
                continue;
            }
            let (part, more) = without_continuation(line, escape);
            joined.push_str(&part);
            goes_on = more;
        }
        let place = self.place(start);
        let text = joined.trim();
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let mut line = Line {
            place,
            keyword: keyword.to_ascii_uppercase(),
            rest: rest.trim_start().to_owned(),
            heredocs: Vec::new(),
        };
        if may_have_heredocs(&line) {
            for mut document in heredoc::announced(&line.rest) {
                document.content = self
                    .heredoc(&document)
                    .map_err(|error| line.place.error(&line.keyword, &error))?;
                line.heredocs.push(document);
            }
        }
        Ok(Some(line))
    }

    /// The lines up to the document's end.
    fn heredoc(&mut self, document: &Heredoc) -> Result<String> {
        let mut content = String::new();
        loop {
            let line = self.next().with_context(|| {
                format!(
                    "here-document <<{0} has no end (a line '{0}')",
                    document.name
                )
            })?;
            let shown = if document.strips_tabs {
                line.trim_start_matches('\t')
            } else {
                line
            };
            if shown.trim_end_matches(['\r', '\n']) == document.name {
                return Ok(content);
            }
            content.push_str(shown);
        }
    }
}

/// `# name=value`, if that is what a line is and the name one of the three.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let value = value.trim();
    (matches!(name.as_str(), "syntax" | "escape" | "check") && !value.is_empty())
        .then_some((name, value))
}

/// A line without the escape character that continues it, and whether there was one. Two of them
/// are an escaped one, and continue nothing.
fn without_continuation(line: &str, escape: char) -> (String, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(before) if !before.ends_with(escape) => (before.to_owned(), true),
        _ => (line.to_owned(), false),
    }
}

fn may_have_heredocs(line: &Line) -> bool {
    if !line.rest.contains("<<") {
        return false;
    }
    match line.keyword.as_str() {
        "RUN" | "COPY" | "ADD" => !is_exec_form(&line.rest),
        "ONBUILD" => {
            let (keyword, rest) = line
                .rest
                .split_once(char::is_whitespace)
                .unwrap_or((&line.rest, ""));
            let keyword = keyword.to_ascii_uppercase();
            matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") && !is_exec_form(rest)
        }
        _ => false,
    }
}

fn is_exec_form(rest: &str) -> bool {
    let (_, arguments) = super::flags::split(rest);
    serde_json::from_str::<Vec<String>>(arguments.trim()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, String, String)> {
        let lines = read(text, "Dockerfile").unwrap().lines;
        lines
            .into_iter()
            .map(|line| (line.place.line, line.keyword, line.rest))
            .collect()
    }

    fn line(number: usize, keyword: &str, rest: &str) -> (usize, String, String) {
        (number, keyword.to_owned(), rest.to_owned())
    }

    #[test]
    fn continued_lines_are_one_and_comments_are_none() {
        let text = "# a comment\r\n\r\nfrom scratch\r\nRUN echo a \\\n# gone\n   \n  && echo b \\ \n  # gone\n  && echo c\\\\\nUSER x";
        assert_eq!(
            lines(text),
            [
                line(3, "FROM", "scratch"),
                line(4, "RUN", "echo a   && echo b   && echo c\\\\"),
                line(10, "USER", "x"),
            ]
        );
        assert_eq!(read(text, "f").unwrap().warnings.len(), 1);
    }

    #[test]
    fn directives_come_first() {
        let text =
            "\u{feff}# syntax = docker/dockerfile:1\n#escape=`\nFROM a `\n AS b\\\nUSER c:\\";
        assert_eq!(
            lines(text),
            [line(3, "FROM", "a  AS b\\"), line(5, "USER", "c:\\")]
        );
        // After a comment, it is a comment.
        assert_eq!(read("# x\n# escape=`\nFROM a", "f").unwrap().escape, '\\');
        assert!(read("# escape=x\nFROM a", "f").is_err());
        assert!(read("# escape=`\n# escape=`\nFROM a", "f").is_err());
        assert!(read("# check=skip=all;error=true\nFROM a", "f").is_ok());
        assert!(read("# check=nonsense\nFROM a", "f").is_err());
    }

    #[test]
    fn documents_belong_to_their_line() {
        let text = "RUN cat <<A > /x && sh 3<<-'B C'\na $b\n\\\nA\n\tc\n\t\tB C\nUSER x\n";
        let found = read(text, "Dockerfile").unwrap().lines;
        assert_eq!(found.len(), 2);
        let documents = &found[0].heredocs;
        assert_eq!(documents[0].content, "a $b\n\\\n");
        assert!(documents[0].expands && !documents[0].strips_tabs);
        assert_eq!(documents[1].content, "c\n");
        assert!(!documents[1].expands && documents[1].strips_tabs);
        // Neither in exec form nor in quotes nor elsewhere.
        for text in [
            "RUN [\"a\", \"<<EOF\"]",
            "RUN echo '<<EOF'",
            "CMD cat <<EOF",
        ] {
            assert_eq!(read(text, "f").unwrap().lines[0].heredocs, [], "{text}");
        }
        let error = read("FROM a\nRUN <<EOF\nx\n", "Dockerfile").unwrap_err();
        assert!(format!("{error:#}").starts_with("Dockerfile:2: RUN: here-document <<EOF"));
    }
}
