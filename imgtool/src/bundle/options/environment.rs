//! `--env` and `--env-file`: the process's environment.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;

/// What the caller adds to the image's environment.
#[derive(Debug, Clone, Default, Args)]
pub struct EnvironmentOptions {
    /// A variable; without =VALUE the caller's own value, and if he has none, the image's goes.
    /// May be repeated.
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]")]
    env: Vec<Variable>,

    /// Variables from a file, one a line; # begins a comment. --env comes after it.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

/// What is to become of one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    /// Nothing: it isn't to be there.
    value: Option<String>,
}

impl FromStr for Variable {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, own(text)?),
        };
        if name.is_empty() {
            bail!("a variable is NAME=VALUE, or the NAME of one of yours");
        }
        Ok(Variable {
            name: name.to_owned(),
            value,
        })
    }
}

/// The caller's own value.
fn own(name: &str) -> Result<Option<String>> {
    if name.is_empty() || name.contains('\0') {
        return Ok(None);
    }
    match std::env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            bail!("your own value is not UTF-8, which config.json has to be")
        }
    }
}

impl EnvironmentOptions {
    /// Changes `environment`, which is `NAME=value` each.
    pub(super) fn apply(&self, environment: &mut Vec<String>) -> Result<()> {
        for file in &self.env_file {
            let of_file = || format!("--env-file {}", file.display());
            let text = fs::read_to_string(file).with_context(of_file)?;
            for variable in read(&text).with_context(of_file)? {
                variable.set(environment);
            }
        }
        for variable in &self.env {
            variable.set(environment);
        }
        Ok(())
    }
}

impl Variable {
    fn set(&self, environment: &mut Vec<String>) {
        let named = |entry: &String| entry.split('=').next() == Some(&self.name);
        let place = environment.iter().position(named);
        match (&self.value, place) {
            (Some(value), Some(place)) => environment[place] = format!("{}={value}", self.name),
            (Some(value), None) => environment.push(format!("{}={value}", self.name)),
            (None, Some(place)) => {
                environment.remove(place);
            }
            (None, None) => {}
        }
    }
}

/// Reads a file as Docker does: values as they are, no quoting; a name alone is the caller's
/// variable, and nothing if he has none.
fn read(text: &str) -> Result<Vec<Variable>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let in_line = || format!("line {} ('{}')", index + 1, line.escape_debug());
        let name = line.split('=').next().unwrap_or_default();
        if name.contains(char::is_whitespace) {
            bail!("{}: a name can't hold blanks", in_line());
        }
        if line.contains('\0') {
            bail!("{}: a NUL byte", in_line());
        }
        let variable: Variable = line.parse().with_context(in_line)?;
        if variable.value.is_some() {
            variables.push(variable);
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{applied, refused};
    use super::*;

    #[test]
    fn variables_are_added_replaced_and_removed() {
        let mut environment = vec!["PATH=/bin".to_owned(), "WINDLASS_GOES=1".to_owned()];
        let options = EnvironmentOptions {
            env: [
                "PATH=/usr/bin",
                "A=b=c",
                "WINDLASS_GOES",
                "EMPTY=",
                "WINDLASS_NOT_THERE",
            ]
            .map(|text| text.parse().unwrap())
            .to_vec(),
            env_file: Vec::new(),
        };
        options.apply(&mut environment).unwrap();
        assert_eq!(environment, ["PATH=/usr/bin", "A=b=c", "EMPTY="]);
    }

    #[test]
    fn a_name_alone_is_the_caller_s_own() {
        let home = std::env::var("PATH").unwrap();
        assert_eq!("PATH".parse::<Variable>().unwrap().value, Some(home));
        let environment = applied(&["--env=PATH"])["process"]["env"].clone();
        let own = format!("PATH={}", std::env::var("PATH").unwrap());
        assert!(environment.as_array().unwrap().contains(&own.into()));
    }

    #[test]
    fn files_as_docker_reads_them() {
        let text = "\u{feff}# comment\n\n  A=1\nB= spaces  stay \nC='quotes too'\nD=\nWINDLASS_NOT_THERE\nE=a=b#c\n";
        let variables = read(text).unwrap();
        let shown: Vec<String> = variables
            .iter()
            .map(|variable| format!("{}={}", variable.name, variable.value.as_deref().unwrap()))
            .collect();
        assert_eq!(
            shown,
            ["A=1", "B= spaces  stay ", "C='quotes too'", "D=", "E=a=b#c"]
        );
        for (bad, reason) in [("A=1\nA B=2\n", "line 2"), ("=x", "line 1")] {
            let error = format!("{:#}", read(bad).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn what_is_no_variable() {
        refused(&["--env==x"], "NAME=VALUE");
        refused(&["--env="], "NAME=VALUE");
        refused(&["--env-file=/does/not/exist"], "/does/not/exist");
    }
}
