//! Words, quotes and variables, by the rules of docker/dockerfile ("Environment replacement"):
//! nearly a shell's, without its commands.

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Result, bail};

use super::pattern::ShellPattern;

/// Where variables' values come from.
pub trait Variables {
    /// The value of a variable, if it is set.
    fn value(&self, name: &str) -> Option<String>;
}

/// No variable is set.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Variables for Nothing {
    fn value(&self, _: &str) -> Option<String> {
        None
    }
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn value(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// How text is read.
#[derive(Debug, Clone, Copy)]
pub struct Lexer {
    /// What takes the next character's meaning away.
    pub escape: char,
    /// Quotes stay in the result.
    pub keeps_quotes: bool,
    /// Escape characters stay in the result.
    pub keeps_escapes: bool,
    /// A variable that isn't set stays as it is written.
    pub keeps_unset: bool,
    /// Quotes are characters like others: in here-documents.
    pub ignores_quotes: bool,
}

impl Lexer {
    /// The usual reading with an escape character.
    pub fn new(escape: char) -> Self {
        Lexer {
            escape,
            keeps_quotes: false,
            keeps_escapes: false,
            keeps_unset: false,
            ignores_quotes: false,
        }
    }

    /// `text` with its variables replaced and its quotes removed, blanks as they are.
    pub fn word(self, text: &str, variables: &dyn Variables) -> Result<String> {
        Ok(self.read(text, variables)?.text)
    }

    /// The same, split at blanks outside quotes; blanks that a variable brings split too.
    pub fn words(self, text: &str, variables: &dyn Variables) -> Result<Vec<String>> {
        Ok(self.read(text, variables)?.words())
    }

    fn read(self, text: &str, variables: &dyn Variables) -> Result<Read> {
        let mut reading = Reading {
            lexer: self,
            rest: text.chars().peekable(),
            variables,
            depth: 0,
        };
        reading.until(None, self.keeps_escapes)
    }
}

/// Splits `text` at blanks outside quotes, and changes nothing else in it.
pub fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        word.push(c);
        match quote {
            Some(open) if c == open => quote = None,
            // Nothing escapes between single quotes.
            Some('\'') => {}
            _ if c == escape => word.extend(rest.next()),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            _ => {}
        }
    }
    words.extend(word);
    words
}

/// Text that was read, with the places where it may be split.
#[derive(Default)]
struct Read {
    text: String,
    words: Vec<String>,
    word: String,
    in_word: bool,
}

impl Read {
    fn words(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }

    /// A character in which a blank splits.
    fn push(&mut self, c: char) {
        self.text.push(c);
        self.split_or_push(c);
    }

    fn split_or_push(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
            self.in_word = true;
        } else if self.in_word && !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
            self.in_word = false;
        }
    }

    /// Text in which a blank is like any other character.
    fn push_whole(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
        self.in_word = true;
    }
}

/// `${a:-${b:-${c:-…` may go no deeper.
const DEEPEST: usize = 32;

struct Reading<'a> {
    lexer: Lexer,
    rest: Peekable<Chars<'a>>,
    variables: &'a dyn Variables,
    depth: usize,
}

impl Reading<'_> {
    /// Reads up to `end`, which is taken too, or to the text's end if there is none.
    fn until(&mut self, end: Option<char>, keeps_escapes: bool) -> Result<Read> {
        let mut read = Read::default();
        while let Some(&c) = self.rest.peek() {
            if Some(c) == end {
                self.rest.next();
                return Ok(read);
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    read.text.push_str(&value);
                    value.chars().for_each(|c| read.split_or_push(c));
                }
                '\'' if !self.lexer.ignores_quotes => read.push_whole(&self.single_quoted()?),
                '"' if !self.lexer.ignores_quotes => {
                    read.push_whole(&self.double_quoted(keeps_escapes)?);
                }
                '<' => read.push_whole(&self.less_than()),
                _ => {
                    self.rest.next();
                    if c != self.lexer.escape {
                        read.push(c);
                        continue;
                    }
                    if keeps_escapes {
                        read.push_whole(c.encode_utf8(&mut [0; 4]));
                    }
                    if let Some(escaped) = self.rest.next() {
                        read.push_whole(escaped.encode_utf8(&mut [0; 4]));
                    }
                }
            }
        }
        match end {
            None => Ok(read),
            Some(end) => bail!("'{end}' is missing"),
        }
    }

    /// Nothing has a meaning between single quotes.
    fn single_quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        let quote = self.rest.next();
        text.extend(quote.filter(|_| self.lexer.keeps_quotes));
        for c in self.rest.by_ref() {
            if c != '\'' {
                text.push(c);
                continue;
            }
            text.extend(Some(c).filter(|_| self.lexer.keeps_quotes));
            return Ok(text);
        }
        bail!("a single quote (') is open")
    }

    /// Between double quotes, `$` has its meaning, and the escape character before `"`, `$` and
    /// itself.
    fn double_quoted(&mut self, keeps_escapes: bool) -> Result<String> {
        let mut text = String::new();
        let quote = self.rest.next();
        text.extend(quote.filter(|_| self.lexer.keeps_quotes));
        while let Some(&c) = self.rest.peek() {
            if c == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            self.rest.next();
            if c == '"' {
                text.extend(Some(c).filter(|_| self.lexer.keeps_quotes));
                return Ok(text);
            }
            if c != self.lexer.escape {
                text.push(c);
                continue;
            }
            if keeps_escapes {
                text.push(c);
            }
            let escape = self.lexer.escape;
            match self
                .rest
                .next_if(|&next| matches!(next, '"' | '$') || next == escape)
            {
                Some(escaped) => text.push(escaped),
                None if keeps_escapes => {}
                None => text.push(c),
            }
        }
        bail!("a double quote (\") is open")
    }

    /// `<<` may have blanks between it and its word.
    fn less_than(&mut self) -> String {
        self.rest.next();
        if self.rest.next_if_eq(&'<').is_none() {
            return "<".to_owned();
        }
        let mut text = "<<".to_owned();
        while let Some(blank) = self.rest.next_if(|c| matches!(c, ' ' | '\t')) {
            text.push(blank);
        }
        text
    }

    /// A variable's value, from its `$` on.
    fn dollar(&mut self) -> Result<String> {
        self.rest.next();
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(match name.as_str() {
                "" => "$".to_owned(),
                name => match self.variables.value(name) {
                    None if self.lexer.keeps_unset => format!("${name}"),
                    value => value.unwrap_or_default(),
                },
            });
        }
        self.depth += 1;
        if self.depth > DEEPEST {
            bail!("variables in variables, more than {DEEPEST} deep");
        }
        let value = self.braced();
        self.depth -= 1;
        value
    }

    /// `${name…}`, after the brace.
    fn braced(&mut self) -> Result<String> {
        let name = self.name();
        if name.is_empty() {
            bail!("'${{' is followed by no name");
        }
        let value = self.variables.value(&name);
        let is_unknown = value.is_none() && self.lexer.keeps_unset;
        let mut operator = match self.rest.next() {
            Some('}') if is_unknown => return Ok(format!("${{{name}}}")),
            Some('}') => return Ok(value.unwrap_or_default()),
            Some(operator) => operator,
            None => bail!("'}}' is missing behind ${{{name}"),
        };
        if operator == '/' {
            return self.replaced(&name, value);
        }
        let empty_is_unset = operator == ':';
        if empty_is_unset {
            operator = self.rest.next().unwrap_or('}');
        }
        let is_pattern = matches!(operator, '#' | '%');
        if !matches!(operator, '-' | '+' | '?' | '#' | '%') || empty_is_unset && is_pattern {
            let colon = if empty_is_unset { ":" } else { "" };
            bail!("${{{name}{colon}{operator}…}}: there is no '{colon}{operator}' in a Dockerfile");
        }
        let word = self.until(Some('}'), is_pattern)?.text;
        if is_unknown {
            let colon = if empty_is_unset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        let set = value.filter(|value| !(empty_is_unset && value.is_empty()));
        Ok(match (operator, set) {
            ('-', set) => set.unwrap_or(word),
            ('+', set) => set.map(|_| word).unwrap_or_default(),
            ('?', Some(value)) => value,
            ('?', None) if word.is_empty() => bail!("variable {name} has to be set"),
            ('?', None) => bail!("variable {name}: {word}"),
            (operator, value) => without_match(operator, &word, &value.unwrap_or_default())?,
        })
    }

    /// `${name/pattern/replacement}` and `${name//pattern/replacement}`, after the first slash.
    fn replaced(&mut self, name: &str, value: Option<String>) -> Result<String> {
        let all = self.rest.next_if_eq(&'/').is_some();
        let pattern = self.until(Some('/'), true)?.text;
        let replacement = self.until(Some('}'), true)?.text;
        let Some(value) = value else {
            let slashes = if all { "//" } else { "/" };
            return Ok(if self.lexer.keeps_unset {
                format!("${{{name}{slashes}{pattern}/{replacement}}}")
            } else {
                String::new()
            });
        };
        ShellPattern::parse(&pattern)?.replace(&value, &replacement, all)
    }

    /// A variable's name: letters, digits and `_`; or one of the shell's, such as `1` and `@`.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.rest.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
                    name.push(digit);
                }
                return name;
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                name.extend(self.rest.next());
                return name;
            }
            _ => {}
        }
        while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
        }
        name
    }
}

/// `${name#word}`, `##`, `%`, `%%`.
fn without_match(operator: char, word: &str, value: &str) -> Result<String> {
    let (pattern, longest) = match word.strip_prefix(operator) {
        Some(pattern) => (pattern, true),
        None => (word, false),
    };
    let pattern = ShellPattern::parse(pattern)?;
    Ok(match operator {
        '#' => pattern.without_prefix(value, longest),
        _ => pattern.without_suffix(value, longest),
    }
    .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        let value = match name {
            "a" => "one two",
            "empty" => "",
            "path" => "/usr/local/lib/x.tar.gz",
            "Ä" => "umlaut",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn word(text: &str) -> String {
        Lexer::new('\\').word(text, &variables).unwrap()
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expected) in [
            ("$a", "one two"),
            ("${a}", "one two"),
            ("x$a.y", "xone two.y"),
            ("$b-${b}", "-"),
            ("\\$a", "$a"),
            ("'$a'", "$a"),
            ("\"$a\"", "one two"),
            ("\"\\$a \\x \\\" \\\\\"", "$a \\x \" \\"),
            ("a\\ b", "a b"),
            ("$", "$"),
            ("$/x", "$/x"),
            ("$Ä", "umlaut"),
            ("${b:-x}", "x"),
            ("${empty:-x}", "x"),
            ("${empty-x}", ""),
            ("${b-x}", "x"),
            ("${a:+x}", "x"),
            ("${empty:+x}", ""),
            ("${empty+x}", "x"),
            ("${b:-${a}}", "one two"),
            ("${b:-'}'}", "}"),
            ("${path#*/}", "usr/local/lib/x.tar.gz"),
            ("${path##*/}", "x.tar.gz"),
            ("${path%.*}", "/usr/local/lib/x.tar"),
            ("${path%%.*}", "/usr/local/lib/x"),
            ("${path#nothing}", "/usr/local/lib/x.tar.gz"),
            ("${path/l?/L}", "/usr/Lcal/lib/x.tar.gz"),
            ("${path//\\//:}", ":usr:local:lib:x.tar.gz"),
            ("${path//l*b/-}", "/usr/-/x.tar.gz"),
            ("$1$@", ""),
        ] {
            assert_eq!(word(text), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_meaning_is_an_error() {
        for text in [
            "${",
            "${}",
            "${a",
            "${:x}",
            "${a:x}",
            "${a:#x}",
            "${a^}",
            "'a",
            "\"a",
            "${b:?}",
            "${b?no b}",
            "${empty:?}",
        ] {
            assert!(Lexer::new('\\').word(text, &variables).is_err(), "{text}");
        }
        let deep = "${b:-".repeat(1000) + &"}".repeat(1000);
        assert!(Lexer::new('\\').word(&deep, &variables).is_err());
        assert_eq!(word("${a:?}"), "one two");
    }

    #[test]
    fn words_split_outside_quotes() {
        let words = |text: &str| Lexer::new('\\').words(text, &variables).unwrap();
        assert_eq!(
            words("  a  'b c' \"d\te\" f\\ g "),
            ["a", "b c", "d\te", "f g"]
        );
        assert_eq!(words("$a \"$a\""), ["one", "two", "one two"]);
        assert_eq!(words("80$empty $empty 90"), ["80", "90"]);
    }

    #[test]
    fn raw_words_keep_their_quotes() {
        assert_eq!(
            split("a=\"b c\"d 'e f' g\\ h  \"\\\" i\"", '\\'),
            ["a=\"b c\"d", "'e f'", "g\\ h", "\"\\\" i\""]
        );
        assert_eq!(split("  ", '\\'), Vec::<String>::new());
    }

    #[test]
    fn the_escape_character_is_chosen() {
        let lexer = Lexer::new('`');
        assert_eq!(lexer.word("c:\\x `$a", &variables).unwrap(), "c:\\x $a");
    }

    #[test]
    fn in_documents_quotes_are_characters() {
        let lexer = Lexer {
            ignores_quotes: true,
            ..Lexer::new('\\')
        };
        assert_eq!(
            lexer.word("it's \"$a\"\n", &variables).unwrap(),
            "it's \"one two\"\n"
        );
    }
}
