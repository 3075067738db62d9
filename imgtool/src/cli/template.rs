//! `--format`: what users of docker, podman and skopeo know of Go's templates (text/template).
//!
//! `{{.A.B}}`, `{{json .A}}`, `{{index .A "key"}}`, `{{join .A ", "}}`, `{{println .A}}`, `{{range .A}}…{{end}}`;
//! `{{-` and `-}}` take the blanks beside them away. Everything else is refused.

use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A template, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Print(Operand),
    Json(Operand),
    Index(Operand, Vec<Operand>),
    Join(Operand, Operand),
    Println(Vec<Operand>),
    Range(Operand, Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    /// The names of fields, each in the one before; none for all that there is.
    Path(Vec<String>),
    Literal(Value),
}

/// A piece of the text, before ranges have been put together.
enum Part<'a> {
    Text(&'a str),
    Action(&'a str),
}

impl FromStr for Template {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Template> {
        if text.starts_with("table ") {
            bail!("there is no 'table' here: a line for each, without a head");
        }
        // docker's word for it.
        let text = if text == "json" { "{{json .}}" } else { text };
        let mut parts = parts(text)?.into_iter();
        let (pieces, ended) = pieces(&mut parts)?;
        if ended {
            bail!("{{{{end}}}} without a {{{{range}}}}");
        }
        Ok(Template(pieces))
    }
}

impl Template {
    /// For clap, which shows of an error no more than its first words.
    pub fn argument(text: &str) -> Result<Template, String> {
        text.parse().map_err(|error| format!("{error:#}"))
    }

    /// The template's text for a value, and a line break.
    pub fn line(&self, value: &Value) -> Result<String> {
        let mut output = String::new();
        render(&self.0, value, &mut output)?;
        output.push('\n');
        Ok(output)
    }
}

fn parts(text: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trims = false;
    loop {
        let start = rest.find("{{");
        let mut before = &rest[..start.unwrap_or(rest.len())];
        if trims {
            before = before.trim_start();
        }
        let Some(start) = start else {
            parts.push(Part::Text(before));
            return Ok(parts);
        };
        let (action, after) = rest[start + 2..]
            .split_once("}}")
            .with_context(|| format!("'{}' lacks its }}}}", rest[start..].escape_debug()))?;
        let mut action = action;
        if let Some(trimming) = action.strip_prefix("- ") {
            before = before.trim_end();
            action = trimming;
        }
        trims = action.ends_with(" -");
        parts.push(Part::Text(before));
        parts.push(Part::Action(action.strip_suffix(" -").unwrap_or(action)));
        rest = after;
    }
}

/// The pieces up to an `{{end}}`, and whether there was one.
fn pieces<'a>(parts: &mut impl Iterator<Item = Part<'a>>) -> Result<(Vec<Piece>, bool)> {
    let mut pieces = Vec::new();
    while let Some(part) = parts.next() {
        let action = match part {
            Part::Text("") => continue,
            Part::Text(text) => {
                pieces.push(Piece::Text(text.to_owned()));
                continue;
            }
            Part::Action(action) => action,
        };
        let context = || format!("{{{{{}}}}}", action.escape_debug());
        let words = words(action).with_context(context)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        pieces.push(match words[..] {
            ["end"] => return Ok((pieces, true)),
            ["range", over] => {
                let over = operand(over).with_context(context)?;
                let (body, ended) = self::pieces(parts)?;
                if !ended {
                    bail!("{}: its {{{{end}}}} is missing", context());
                }
                Piece::Range(over, body)
            }
            _ => piece(&words).with_context(context)?,
        });
    }
    Ok((pieces, false))
}

fn piece(words: &[&str]) -> Result<Piece> {
    let operands = |words: &[&str]| -> Result<Vec<Operand>> {
        words.iter().map(|word| operand(word)).collect()
    };
    Ok(match *words {
        [] => bail!("it is empty"),
        ["json", value] => Piece::Json(operand(value)?),
        ["index", value, ref keys @ ..] if !keys.is_empty() => {
            Piece::Index(operand(value)?, operands(keys)?)
        }
        ["join", value, between] => Piece::Join(operand(value)?, operand(between)?),
        ["println", ref values @ ..] => Piece::Println(operands(values)?),
        [value] => Piece::Print(operand(value)?),
        _ => bail!("{KNOWN}"),
    })
}

const KNOWN: &str = "of Go's templates there are only {{.FIELD}}, {{json .}}, {{index . KEY}}, {{join . TEXT}}, \
                     {{println .}} and {{range .}}…{{end}} here";

fn operand(word: &str) -> Result<Operand> {
    let quotes = |quote: char| word.strip_prefix(quote)?.strip_suffix(quote);
    if quotes('"').is_some() {
        let text = serde_json::from_str(word).context("a text in quotes")?;
        return Ok(Operand::Literal(Value::String(text)));
    }
    if let Some(text) = quotes('`') {
        return Ok(Operand::Literal(text.into()));
    }
    if let Ok(number) = word.parse::<u32>() {
        return Ok(Operand::Literal(number.into()));
    }
    let path = word.strip_prefix('.').context(KNOWN)?;
    let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let names: Vec<String> = match path {
        "" => Vec::new(),
        _ => path.split('.').map(str::to_owned).collect(),
    };
    if names.iter().any(|name| name.is_empty() || !is_name(name)) {
        bail!("'{}': {KNOWN}", word.escape_debug());
    }
    Ok(Operand::Path(names))
}

/// Words between blanks; a quoted text is one.
fn words(action: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = action.chars().peekable();
    while let Some(first) = characters.next() {
        if first.is_whitespace() {
            continue;
        }
        let mut word = String::from(first);
        if matches!(first, '"' | '`') {
            loop {
                let next = characters.next().context("a quote is open")?;
                word.push(next);
                match next {
                    '\\' if first == '"' => word.extend(characters.next()),
                    _ if next == first => break,
                    _ => {}
                }
            }
        }
        while let Some(next) = characters.next_if(|next| !next.is_whitespace()) {
            word.push(next);
        }
        words.push(word);
    }
    Ok(words)
}

fn render(pieces: &[Piece], dot: &Value, output: &mut String) -> Result<()> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => output.push_str(text),
            Piece::Print(value) => print(value.of(dot)?, output)?,
            Piece::Json(value) => output.push_str(&serde_json::to_string(value.of(dot)?)?),
            Piece::Index(value, keys) => {
                let mut value = value.of(dot)?;
                for key in keys {
                    value = index(value, key.of(dot)?)?;
                }
                // Go: what a map of texts doesn't hold is the empty text.
                if !value.is_null() {
                    print(value, output)?;
                }
            }
            Piece::Join(list, between) => {
                let mut between_them = String::new();
                print(between.of(dot)?, &mut between_them)?;
                for (number, value) in elements(list.of(dot)?)?.into_iter().enumerate() {
                    if number > 0 {
                        output.push_str(&between_them);
                    }
                    print(value, output)?;
                }
            }
            Piece::Println(values) => {
                for (number, value) in values.iter().enumerate() {
                    if number > 0 {
                        output.push(' ');
                    }
                    print(value.of(dot)?, output)?;
                }
                output.push('\n');
            }
            Piece::Range(list, body) => {
                for value in elements(list.of(dot)?)? {
                    render(body, value, output)?;
                }
            }
        }
    }
    Ok(())
}

impl Operand {
    fn of<'a>(&'a self, dot: &'a Value) -> Result<&'a Value> {
        let names = match self {
            Operand::Literal(value) => return Ok(value),
            Operand::Path(names) => names,
        };
        names.iter().try_fold(dot, |value, name| {
            field(value, name).with_context(|| format!("--format: .{}", names.join(".")))
        })
    }
}

/// A field; `ID` and `Config` are `Id` and `config`, too, as users of Go's programs write them.
fn field<'a>(value: &'a Value, name: &str) -> Result<&'a Value> {
    let Value::Object(fields) = value else {
        bail!("'{name}' is asked of what has no fields");
    };
    let alike = || {
        let mut all = fields.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    fields.get(name).or_else(alike).with_context(|| {
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        let known = known.join(", ").escape_debug().to_string();
        format!("there is no '{name}' (there are: {known})")
    })
}

fn index<'a>(value: &'a Value, key: &Value) -> Result<&'a Value> {
    let found = match (value, key) {
        (Value::Object(fields), Value::String(key)) => {
            Some(fields.get(key).unwrap_or(&Value::Null))
        }
        (Value::Null, Value::String(_)) => Some(value),
        (Value::Array(list), Value::Number(key)) => {
            let key = key.as_u64().and_then(|key| usize::try_from(key).ok());
            key.and_then(|key| list.get(key))
        }
        _ => None,
    };
    found.with_context(|| format!("--format: index: there is no {key}"))
}

/// What a list, or a map, holds.
fn elements(value: &Value) -> Result<Vec<&Value>> {
    match value {
        Value::Array(list) => Ok(list.iter().collect()),
        Value::Object(fields) => Ok(fields.values().collect()),
        Value::Null => Ok(Vec::new()),
        _ => bail!("--format: {value} is no list"),
    }
}

/// As Go prints values: `text`, `[a b]`, `map[key:value]`, `<nil>`.
fn print(value: &Value, output: &mut String) -> Result<()> {
    match value {
        Value::Null => output.push_str("<nil>"),
        Value::String(text) => output.push_str(text),
        Value::Array(list) => {
            output.push('[');
            for (number, value) in list.iter().enumerate() {
                if number > 0 {
                    output.push(' ');
                }
                print(value, output)?;
            }
            output.push(']');
        }
        Value::Object(fields) => {
            output.push_str("map[");
            for (number, (name, value)) in fields.iter().enumerate() {
                let blank = if number > 0 { " " } else { "" };
                write!(output, "{blank}{name}:")?;
                print(value, output)?;
            }
            output.push(']');
        }
        Value::Bool(_) | Value::Number(_) => write!(output, "{value}")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value() -> Value {
        json!({
            "Digest": "sha256:1", "Id": "x", "Size": 7, "Created": null, "Empty": null, "Ok": true,
            "config": { "Env": ["A=1", "B=2"], "Labels": { "a.b": "c", "d": "e" } },
        })
    }

    #[test]
    fn templates_are_gos() {
        for (template, expected) in [
            ("plain", "plain"),
            ("{{.Digest}}", "sha256:1"),
            ("{{ .ID }} {{.Size}}", "x 7"),
            ("{{.Config.Env}}", "[A=1 B=2]"),
            (
                "{{.config.Labels}} {{.Created}} {{.Ok}}",
                "map[a.b:c d:e] <nil> true",
            ),
            ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
            (
                r#"{{index .Config.Labels "a.b"}}{{index .Config.Labels `no`}}"#,
                "c",
            ),
            ("{{index .Config.Env 1}}", "B=2"),
            (r#"{{join .Config.Env ", "}}"#, "A=1, B=2"),
            (
                "{{range .Config.Env}}<{{.}}>{{end}}{{range .Empty}}x{{end}}",
                "<A=1><B=2>",
            ),
            (
                "{{range .Config.Env}}{{println . 1}}{{end}}",
                "A=1 1\nB=2 1\n",
            ),
            ("a {{- .ID -}} \n b", "axb"),
            (r#"{{"a\tb"}}"#, "a\tb"),
        ] {
            let parsed: Template = template.parse().unwrap();
            let line = parsed.line(&value()).unwrap();
            assert_eq!(line, format!("{expected}\n"), "{template}");
        }
        let all: Template = "json".parse().unwrap();
        let all: Value = serde_json::from_str(&all.line(&value()).unwrap()).unwrap();
        assert_eq!(all, value());
    }

    #[test]
    fn the_rest_of_go_is_refused() {
        for template in [
            "{{.A",
            "{{}}",
            "{{if .A}}{{end}}",
            "{{.A | json}}",
            "{{$x}}",
            "{{.A..B}}",
            "{{.}} {{end}}",
            "{{range .A}}",
            "{{index .A}}",
            "{{printf \"%s\" .A}}",
            "{{Digest}}",
            "{{.A.}}",
            "{{\"a}}",
            "table {{.A}}",
        ] {
            let error = template.parse::<Template>().unwrap_err();
            assert!(!format!("{error:#}").contains('\n'), "{template}");
        }
        for template in [
            "{{.Nothing}}",
            "{{.Digest.x}}",
            "{{range .Digest}}{{end}}",
            "{{index .config.Env 9}}",
        ] {
            let parsed: Template = template.parse().unwrap();
            parsed.line(&value()).unwrap_err();
        }
    }
}
