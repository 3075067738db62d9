//! Properties of the unit that config.json's annotations ask for: `org.systemd.property.NAME`, with
//! a value as GVariant writes it.
//!
//! Who may write annotations often may not do anything as root: a pod's are passed on by the
//! engine. So only properties are taken that can't start, execute, stop or reboot anything outside
//! the container, nor put it elsewhere, nor give it devices (CVE-2024-3154: `SuccessAction`,
//! `OnFailure`, `Wants` and their kind).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::properties::{Property, put};
use crate::dbus::Value;
use crate::error::{Error, Result};
use crate::spec::Text;

/// What the names of such annotations begin with.
pub const PREFIX: &str = "org.systemd.property.";

/// What a property's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Text,
    Texts,
    /// `i`
    Signed,
    /// `t`
    Number,
    /// `t`, microseconds; with the name's `USec` written as `Sec`, seconds.
    Duration,
    /// `ay`, a set of bits.
    Bits,
}

/// What may be asked for (systemd.unit(5), systemd.scope(5), systemd.kill(5),
/// systemd.resource-control(5)).
const ALLOWED: &[(&str, Kind)] = &[
    ("After", Kind::Texts),
    ("AllowedCPUs", Kind::Bits),
    ("AllowedMemoryNodes", Kind::Bits),
    ("Before", Kind::Texts),
    ("BlockIOAccounting", Kind::Boolean),
    ("BlockIOWeight", Kind::Number),
    ("CollectMode", Kind::Text),
    ("CPUAccounting", Kind::Boolean),
    ("CPUQuotaPeriodUSec", Kind::Duration),
    ("CPUQuotaPerSecUSec", Kind::Duration),
    ("CPUShares", Kind::Number),
    ("CPUWeight", Kind::Number),
    ("DefaultDependencies", Kind::Boolean),
    ("DefaultMemoryLow", Kind::Number),
    ("DefaultMemoryMin", Kind::Number),
    ("Documentation", Kind::Texts),
    ("FinalKillSignal", Kind::Signed),
    ("IOAccounting", Kind::Boolean),
    ("IOWeight", Kind::Number),
    ("IPAccounting", Kind::Boolean),
    ("KillMode", Kind::Text),
    ("KillSignal", Kind::Signed),
    ("ManagedOOMMemoryPressure", Kind::Text),
    ("ManagedOOMPreference", Kind::Text),
    ("ManagedOOMSwap", Kind::Text),
    ("MemoryAccounting", Kind::Boolean),
    ("MemoryHigh", Kind::Number),
    ("MemoryLimit", Kind::Number),
    ("MemoryLow", Kind::Number),
    ("MemoryMax", Kind::Number),
    ("MemoryMin", Kind::Number),
    ("MemorySwapMax", Kind::Number),
    ("MemoryZSwapMax", Kind::Number),
    ("OOMPolicy", Kind::Text),
    ("RuntimeMaxUSec", Kind::Duration),
    ("RuntimeRandomizedExtraUSec", Kind::Duration),
    ("SendSIGHUP", Kind::Boolean),
    ("SendSIGKILL", Kind::Boolean),
    ("StartupAllowedCPUs", Kind::Bits),
    ("StartupAllowedMemoryNodes", Kind::Bits),
    ("StartupBlockIOWeight", Kind::Number),
    ("StartupCPUShares", Kind::Number),
    ("StartupCPUWeight", Kind::Number),
    ("StartupIOWeight", Kind::Number),
    ("TasksAccounting", Kind::Boolean),
    ("TasksMax", Kind::Number),
    ("TimeoutStopUSec", Kind::Duration),
];

/// Adds the properties that `annotations` ask for to `properties`.
///
/// # Errors
/// For a property that is not allowed, and a value that is none of its type.
pub fn properties(
    annotations: &BTreeMap<Text<'_>, Text<'_>>,
    properties: &mut Vec<Property>,
) -> Result<()> {
    for (key, value) in annotations {
        if let Some(name) = key.strip_prefix(PREFIX) {
            let property = property(name, value).map_err(|error| {
                error.at(format!(
                    "/annotations/{}",
                    key.replace('~', "~0").replace('/', "~1")
                ))
            })?;
            put(properties, property);
        }
    }
    Ok(())
}

fn property(name: &str, value: &str) -> Result<Property> {
    let find = |name: &str| ALLOWED.iter().find(|(allowed, _)| *allowed == name);
    let in_seconds = || {
        let stem = name.strip_suffix("Sec")?;
        find(&format!("{stem}USec")).filter(|(_, kind)| *kind == Kind::Duration)
    };
    let (found, unit) = match find(name) {
        Some(found) => (found, 1.0),
        None => match in_seconds() {
            Some(found) => (found, 1e6),
            None => {
                return Err(Error::new(format!(
                    "the systemd property {name:?} can't be set by an annotation"
                ))
                .hint("what could start, execute or stop anything is refused (CVE-2024-3154)"));
            }
        },
    };
    let (name, kind) = *found;
    let value = read(value, kind, unit).ok_or_else(|| {
        let (what, example) = kind.words();
        Error::new(format!(
            "{value:?} is no value for the systemd property {name}"
        ))
        .hint(format!("it is {what}, such as {example}"))
    })?;
    Ok(Property::new(Cow::Borrowed(name), value))
}

impl Kind {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Kind::Boolean => ("true or false", "true"),
            Kind::Text => ("a string in quotes", "'inactive-or-failed'"),
            Kind::Texts => ("a list of strings", "['crio.service']"),
            Kind::Signed => ("a number", "15"),
            Kind::Number => ("a number", "uint64 1048576"),
            Kind::Duration => ("a duration", "uint64 5000000"),
            Kind::Bits => ("a list of bytes", "[byte 0x03]"),
        }
    }
}

/// Reads a value in the text format of GVariant, as far as `kind` can be written in it; numbers may
/// have any type before them (`uint64 5`, `byte 3`). A duration is taken times `unit`.
fn read(text: &str, kind: Kind, unit: f64) -> Option<Value> {
    let text = without_type(text.trim());
    Some(match kind {
        Kind::Boolean => Value::Boolean(text.parse().ok()?),
        Kind::Text => Value::String(unquoted(text)?),
        Kind::Texts => {
            let strings = elements(text)?
                .into_iter()
                .map(|text| unquoted(text.trim()));
            let strings = strings.map(|text| text.map(Value::String));
            Value::Array("s", strings.collect::<Option<_>>()?)
        }
        Kind::Signed => Value::Int32(number(text)?.try_into().ok()?),
        Kind::Number => Value::Uint64(number(text)?.try_into().ok()?),
        Kind::Duration => Value::Uint64(duration(text, unit)?),
        Kind::Bits => {
            let bytes = elements(text)?
                .into_iter()
                .map(|text| number(without_type(text.trim()))?.try_into().ok());
            Value::bytes(&bytes.collect::<Option<Vec<u8>>>()?)
        }
    })
}

/// `text` without the name of a type before it.
fn without_type(text: &str) -> &str {
    match text.split_once(' ') {
        Some((
            "byte" | "int16" | "uint16" | "int32" | "uint32" | "int64" | "uint64" | "double"
            | "boolean" | "string",
            value,
        )) => value.trim_start(),
        Some((signature, value)) if signature.starts_with('@') => value.trim_start(),
        _ => text,
    }
}

fn number(text: &str) -> Option<i128> {
    match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be within"
)]
fn duration(text: &str, unit: f64) -> Option<u64> {
    if let Some(number) = number(text) {
        let whole_unit = if unit > 1.0 { 1_000_000 } else { 1 };
        return number.checked_mul(whole_unit)?.try_into().ok();
    }
    let value = text.parse::<f64>().ok()? * unit;
    // Beyond that a double has no fractions, and a duration no sense.
    (0.0..9e15).contains(&value).then_some(value as u64)
}

/// What stands between quotes of either kind.
fn unquoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?),
            '\0' => return None,
            c if c == quote => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// The elements of a list in brackets; strings in it have no commas.
fn elements(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    Some(if inner.is_empty() {
        Vec::new()
    } else {
        inner.split(',').collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Result<Vec<Property>> {
        let key = format!("{PREFIX}{name}");
        let annotations = BTreeMap::from([
            (Text::from(key.as_str()), Text::from(value)),
            (Text::from("org.opencontainers.x"), Text::from("y")),
        ]);
        let mut found = Vec::new();
        properties(&annotations, &mut found).map(|()| found)
    }

    #[test]
    fn what_engines_and_people_write_is_understood() {
        for (name, text, property, value) in [
            (
                "TimeoutStopUSec",
                "uint64 123456789",
                "TimeoutStopUSec",
                Value::Uint64(123_456_789),
            ),
            (
                "TimeoutStopSec",
                "456",
                "TimeoutStopUSec",
                Value::Uint64(456_000_000),
            ),
            (
                "TimeoutStopSec",
                "int16 234",
                "TimeoutStopUSec",
                Value::Uint64(234_000_000),
            ),
            (
                "RuntimeMaxSec",
                "2.5",
                "RuntimeMaxUSec",
                Value::Uint64(2_500_000),
            ),
            (
                "CollectMode",
                "'inactive-or-failed'",
                "CollectMode",
                "inactive-or-failed".into(),
            ),
            (
                "CollectMode",
                "\"inactive\"",
                "CollectMode",
                "inactive".into(),
            ),
            (
                "DefaultDependencies",
                "true",
                "DefaultDependencies",
                true.into(),
            ),
            (
                "After",
                "['crio.service', 'b.target']",
                "After",
                Value::Array("s", vec!["crio.service".into(), "b.target".into()]),
            ),
            ("Before", "@as []", "Before", Value::Array("s", vec![])),
            ("KillSignal", "int32 15", "KillSignal", Value::Int32(15)),
            ("CPUWeight", "42", "CPUWeight", Value::Uint64(42)),
            (
                "AllowedCPUs",
                "[byte 0x03, 1]",
                "AllowedCPUs",
                Value::bytes(&[3, 1]),
            ),
        ] {
            let found = of(name, text).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!((&*found[0].name, &found[0].value), (property, &value));
        }
    }

    #[test]
    fn other_values_are_refused() {
        for (name, value) in [
            ("TimeoutStopSec", "false"),
            ("TimeoutStopSec", "'covfefe'"),
            ("TimeoutStopSec", "-1"),
            ("TimeoutStopUSec", "18446744073709551616"),
            ("CPUWeight", "uint64"),
            ("CollectMode", "inactive"),
            ("CollectMode", "'inactive"),
            ("CollectMode", "'a' 'b'"),
            ("After", "'crio.service'"),
            ("AllowedCPUs", "[256]"),
        ] {
            let refusal = of(name, value).unwrap_err().to_string();
            assert!(
                refusal.contains("/annotations/org.systemd.property."),
                "{refusal}"
            );
        }
    }

    #[test]
    fn nothing_can_be_started_or_executed() {
        for name in [
            "SuccessAction",
            "FailureAction",
            "JobTimeoutAction",
            "RebootArgument",
            "OnFailure",
            "OnSuccess",
            "Wants",
            "Requires",
            "Requisite",
            "BindsTo",
            "PartOf",
            "Upholds",
            "Conflicts",
            "PropagatesStopTo",
            "ExecStart",
            "ExecStopPost",
            "Slice",
            "Delegate",
            "DelegateSubgroup",
            "PIDs",
            "PIDFDs",
            "User",
            "Group",
            "Controller",
            "BPFProgram",
            "IPIngressFilterPath",
            "DeviceAllow",
            "DevicePolicy",
            "RequiresMountsFor",
            "Sec",
            "",
            "timeoutstopusec",
            "Description",
        ] {
            let refusal = of(name, "'x'").unwrap_err().to_string();
            assert!(
                refusal.contains("can't be set by an annotation"),
                "{refusal}"
            );
        }
    }
}
