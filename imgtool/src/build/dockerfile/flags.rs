//! An instruction's options: `--name=value` words before its arguments.

use anyhow::{Result, bail};

/// Options as they are written, and what follows them.
pub fn split(rest: &str) -> (Vec<&str>, &str) {
    let mut flags = Vec::new();
    let mut rest = rest.trim_start();
    loop {
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let end = word_end(rest);
        let (word, after) = rest.split_at(end);
        if word == "--" {
            return (flags, after.trim_start());
        }
        flags.push(word);
        rest = after.trim_start();
    }
}

/// Where the word ends that `text` begins with: at a blank outside quotes.
fn word_end(text: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some('"') | None if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if c.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// Options, taken out one by one, so that what is left is what nobody knows.
#[derive(Debug)]
pub struct Flags<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Flags<'a> {
    /// Takes an instruction's options; what follows them is the second.
    pub fn take(rest: &'a str) -> (Self, &'a str) {
        let (words, rest) = split(rest);
        let flags = words
            .into_iter()
            .map(|word| match word[2..].split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (&word[2..], None),
            });
        (Flags(flags.collect()), rest)
    }

    /// For an instruction that has no options.
    pub fn none(rest: &'a str) -> (Self, &'a str) {
        (Flags(Vec::new()), rest)
    }

    /// The values of an option that may be repeated.
    pub fn values(&mut self, name: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        for (_, value) in self.0.extract_if(.., |(known, _)| *known == name) {
            match value {
                Some(value) => values.push(value.to_owned()),
                None => bail!("--{name} needs a value: --{name}=…"),
            }
        }
        Ok(values)
    }

    /// The value of an option.
    pub fn value(&mut self, name: &str) -> Result<Option<String>> {
        let mut values = self.values(name)?;
        if values.len() > 1 {
            bail!("--{name} is given twice");
        }
        Ok(values.pop())
    }

    /// Whether a switch is on; nothing if it isn't there.
    pub fn switch(&mut self, name: &str) -> Result<Option<bool>> {
        let found: Vec<_> = self.0.extract_if(.., |(known, _)| *known == name).collect();
        match found[..] {
            [] => Ok(None),
            [(_, value)] => boolean(name, value).map(Some),
            _ => bail!("--{name} is given twice"),
        }
    }

    /// Nothing may be left.
    pub fn end(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => bail!("there is no option --{name} here"),
        }
    }
}

/// What a switch says: on, if it says nothing.
pub fn boolean(name: &str, value: Option<&str>) -> Result<bool> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => bail!("'{name}' is true or false, not '{}'", other.escape_debug()),
    }
}
