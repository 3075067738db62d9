//! The runtime's options as an administrator writes them, in TOML. A shim that isn't called `runc`
//! gets what stands in the CRI plugin's configuration under its `options` in that form, or the name of
//! a file. The keys are those that runc's shim has there:
//!
//! ```toml
//! BinaryName = "/usr/local/bin/windlass"
//! SystemdCgroup = true
//! ```
//!
//! They are keys with strings, numbers or truth values; no tables.

use anyhow::{Context, Result, bail};

use super::messages::runc_options::Options;

/// What a key may be set to.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(u32),
    Truth(bool),
}

/// Reads options. A key that is not known is an error: who wrote it expects something of it.
pub fn read(toml: &str) -> Result<Options> {
    let mut options = Options::default();
    for (index, line) in toml.lines().enumerate() {
        set(&mut options, line.trim()).with_context(|| format!("line {}: {line}", index + 1))?;
    }
    Ok(options)
}

fn set(options: &mut Options, line: &str) -> Result<()> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let (key, value) = line.split_once('=').context("it is not KEY = VALUE")?;
    match (key.trim().trim_matches('"'), value_of(value.trim())?) {
        ("BinaryName", Value::Text(text)) => options.binary_name = text,
        ("Root", Value::Text(text)) => options.root = text,
        ("ShimCgroup", Value::Text(text)) => options.shim_cgroup = text,
        ("CriuPath", Value::Text(text)) => options.criu_path = text,
        ("CriuImagePath", Value::Text(text)) => options.criu_image_path = text,
        ("CriuWorkPath", Value::Text(text)) => options.criu_work_path = text,
        ("IoUid", Value::Number(number)) => options.io_uid = number,
        ("IoGid", Value::Number(number)) => options.io_gid = number,
        ("NoPivotRoot", Value::Truth(truth)) => options.no_pivot_root = truth,
        ("NoNewKeyring", Value::Truth(truth)) => options.no_new_keyring = truth,
        ("SystemdCgroup", Value::Truth(truth)) => options.systemd_cgroup = truth,
        // Containerd's own, and what tells it of this very file.
        ("TaskApiAddress" | "TypeUrl" | "ConfigPath", Value::Text(_))
        | ("TaskApiVersion", Value::Number(_)) => {}
        _ => bail!(
            "no such setting; there are BinaryName, Root, ShimCgroup, CriuPath, CriuImagePath and \
             CriuWorkPath = \"…\", NoPivotRoot, NoNewKeyring and SystemdCgroup = true or false, \
             IoUid and IoGid = a number"
        ),
    }
    Ok(())
}

fn value_of(text: &str) -> Result<Value> {
    let (value, rest) = match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'').context("a ' is missing")?;
            (Value::Text(value.to_owned()), rest)
        }
        Some('"') => {
            // Of TOML's basic strings JSON lacks only \e, \xHH and \UHHHHHHHH.
            let mut strings = serde_json::Deserializer::from_str(text).into_iter::<String>();
            let value = strings.next().context("a string is missing")?;
            let value = value.context("not a string")?;
            (Value::Text(value), &text[strings.byte_offset()..])
        }
        _ => {
            let (word, rest) = text.split_once('#').unwrap_or((text, ""));
            let value = match word.trim() {
                "true" => Value::Truth(true),
                "false" => Value::Truth(false),
                word => {
                    let number = word.parse().ok();
                    Value::Number(
                        number.context("neither a string, nor a number, nor true or false")?,
                    )
                }
            };
            let rest = if rest.is_empty() { "" } else { "#" };
            (value, rest)
        }
    };
    let rest = rest.trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        bail!("there is more behind the value");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containerd_writes_is_read() {
        // As go-toml writes it for CRI of containerd 1.7 and 2.1, and as people do.
        let toml = "BinaryName = '/usr/bin/windlass'\nCriuPath = ''\nIoGid = 0\nIoUid = 1000\n\
                    NoPivotRoot = false\nSystemdCgroup = true\n\n# a comment\n  \
                    \"Root\" = \"/run/\\u0061 b\" # another\nNoNewKeyring=true#x\n";
        let expected = Options {
            binary_name: "/usr/bin/windlass".to_owned(),
            root: "/run/a b".to_owned(),
            io_uid: 1000,
            systemd_cgroup: true,
            no_new_keyring: true,
            ..Options::default()
        };
        assert_eq!(read(toml).unwrap(), expected);
        assert_eq!(read("").unwrap(), Options::default());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (toml, word) in [
            (
                "\nSystemdCgroups = true",
                "line 2: SystemdCgroups = true: no such setting",
            ),
            ("SystemdCgroup = \"true\"", "no such setting"),
            ("[table]", "not KEY = VALUE"),
            ("Root = 'x", "a ' is missing"),
            ("Root = \"x", "not a string"),
            ("Root = x", "neither a string"),
            ("IoUid = -1", "neither a string"),
            ("Root = 'x' y", "more behind"),
        ] {
            let error = format!("{:#}", read(toml).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
