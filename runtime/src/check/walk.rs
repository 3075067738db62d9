//! A config.json against the table of [`super::schema`].

use serde_json::Value;

use super::Severity;
use super::schema::{CONFIG, members};
use crate::error::Error;

/// Whoever hears of what is wrong.
pub(super) type Hear<'h> = dyn FnMut(Severity, Error) + 'h;

/// Compares the whole with the schema.
pub(super) fn whole(config: &Value, hear: &mut Hear<'_>) {
    object(CONFIG, config, "", hear);
}

fn object(name: &str, value: &Value, pointer: &str, hear: &mut Hear<'_>) {
    let Value::Object(given) = value else {
        return wrong_type(value, "an object", pointer, hear);
    };
    for member in members(name) {
        if member.required
            && !given
                .keys()
                .any(|key| key.eq_ignore_ascii_case(member.name))
        {
            let problem = format!("missing field `{}`", member.name);
            hear(Severity::Error, Error::config(pointer, problem));
        }
    }
    for (key, value) in given {
        let at = below(pointer, key);
        let member = members(name)
            .find(|member| member.name == key)
            .or_else(|| members(name).find(|member| member.name.eq_ignore_ascii_case(key)));
        match member {
            Some(member) => {
                if member.name != key {
                    let problem = format!("{key:?} is written {:?}", member.name);
                    hear(Severity::Warning, Error::config(&*at, problem));
                }
                // Engines written in Go print what is absent as null.
                if !value.is_null() {
                    of_kind(member.kind, value, &at, hear);
                }
            }
            None => hear(
                Severity::Warning,
                Error::config(at, format!("{key:?} is unknown, and has no effect")),
            ),
        }
    }
}

fn of_kind(kind: &str, value: &Value, pointer: &str, hear: &mut Hear<'_>) {
    if let Some(names) = kind.strip_prefix('=') {
        one_of(names, value, pointer, hear);
    } else if let Some(form) = kind.strip_prefix('~') {
        of_form(form, value, pointer, hear);
    } else if let Some(list) = kind.strip_prefix('[') {
        let Some((element, least)) = list.rsplit_once(']') else {
            return;
        };
        let Value::Array(elements) = value else {
            return wrong_type(value, "a list", pointer, hear);
        };
        if least == "+" && elements.is_empty() {
            hear(Severity::Error, Error::config(pointer, "the list is empty"));
        }
        for (index, value) in elements.iter().enumerate() {
            of_kind(element, value, &format!("{pointer}/{index}"), hear);
        }
    } else if let Some(map) = kind.strip_prefix('{') {
        let Value::Object(given) = value else {
            return wrong_type(value, "an object", pointer, hear);
        };
        for (key, value) in given {
            of_kind(map.trim_end_matches('}'), value, &below(pointer, key), hear);
        }
    } else if let Some((least, most)) = range(kind) {
        integer(least, most, value, pointer, hear);
    } else {
        match kind {
            "any" => {}
            "string" if value.is_string() => {}
            "string" => wrong_type(value, "a string", pointer, hear),
            "boolean" if value.is_boolean() => {}
            "boolean" => wrong_type(value, "true or false", pointer, hear),
            name => object(name, value, pointer, hear),
        }
    }
}

fn range(kind: &str) -> Option<(i128, i128)> {
    Some(match kind {
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" => (0, u64::MAX.into()),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        "i64" => (i64::MIN.into(), i64::MAX.into()),
        _ => {
            let (least, most) = kind.split_once("..")?;
            (least.parse().ok()?, most.parse().ok()?)
        }
    })
}

fn integer(least: i128, most: i128, value: &Value, pointer: &str, hear: &mut Hear<'_>) {
    let number = value
        .as_i64()
        .map(i128::from)
        .or_else(|| value.as_u64().map(i128::from));
    match number {
        Some(number) if (least..=most).contains(&number) => {}
        _ if value.is_number() => hear(
            Severity::Error,
            Error::config(
                pointer,
                format!("{value} is no integer between {least} and {most}"),
            ),
        ),
        _ => wrong_type(value, "an integer", pointer, hear),
    }
}

fn one_of(names: &str, value: &Value, pointer: &str, hear: &mut Hear<'_>) {
    let Value::String(text) = value else {
        return wrong_type(value, "a string", pointer, hear);
    };
    if !names.split('|').any(|name| name == text) {
        let known = names.trim_start_matches('|').replace('|', ", ");
        hear(
            Severity::Error,
            Error::config(pointer, format!("{text:?} is none of {known}")),
        );
    }
}

/// The schema's patterns.
fn of_form(form: &str, value: &Value, pointer: &str, hear: &mut Hear<'_>) {
    let Value::String(text) = value else {
        return wrong_type(value, "a string", pointer, hear);
    };
    let (fits, wanted) = match form {
        "rlimit" => (
            text.strip_prefix("RLIMIT_").is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase())
            }),
            "RLIMIT_ and capital letters",
        ),
        "cpus" => (
            text.bytes()
                .all(|byte| byte.is_ascii_digit() || b", -".contains(&byte)),
            "a list of CPUs like 0-3,7",
        ),
        "pageSize" => (
            ["KB", "MB", "GB"]
                .iter()
                .find_map(|unit| text.strip_suffix(unit))
                .is_some_and(|number| {
                    !number.starts_with('0')
                        && !number.is_empty()
                        && number.bytes().all(|byte| byte.is_ascii_digit())
                }),
            "a size like 2MB",
        ),
        _ => (
            text.starts_with("MB:") && !text.contains('\n'),
            "a line that begins with MB:",
        ),
    };
    if !fits {
        hear(
            Severity::Error,
            Error::config(pointer, format!("{text:?} is not {wanted}")),
        );
    }
}

fn wrong_type(value: &Value, wanted: &str, pointer: &str, hear: &mut Hear<'_>) {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    hear(
        Severity::Error,
        Error::config(pointer, format!("{found}, where {wanted} is expected")),
    );
}

fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
