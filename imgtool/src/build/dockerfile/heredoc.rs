//! Here-documents: `<<NAME` on the line of a RUN, COPY or ADD.

use super::words::{Lexer, Nothing};

/// A document that a line announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The line that ends it; for COPY and ADD also the file's name.
    pub name: String,
    /// Whether variables in it have a meaning: not if the name was quoted.
    pub expands: bool,
    /// `<<-`: tabs at the beginning of its lines are dropped.
    pub strips_tabs: bool,
    /// What is in it.
    pub content: String,
}

/// The documents that a line announces, without their content.
pub fn announced(rest: &str) -> Vec<Heredoc> {
    let lexer = Lexer {
        keeps_quotes: true,
        keeps_escapes: true,
        keeps_unset: true,
        ..Lexer::new('\\')
    };
    // A line that isn't made of words (an open quote) is the shell's to complain about.
    let words = lexer.words(rest, &Nothing).unwrap_or_default();
    words.iter().filter_map(|word| announcement(word)).collect()
}

/// The document that a word announces, if it does: `[DESCRIPTOR]<<[-]NAME`.
pub fn announcement(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (rest, strips_tabs) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let lexer = Lexer {
        keeps_unset: true,
        ..Lexer::new('\\')
    };
    let mut words = lexer.words(rest, &Nothing).ok()?;
    let name = words.pop().filter(|_| words.is_empty())?;
    let quotes = |text: &str| text.chars().filter(|c| matches!(c, '\'' | '"')).count();
    Some(Heredoc {
        expands: quotes(&name) == quotes(rest),
        name,
        strips_tabs,
        content: String::new(),
    })
}
