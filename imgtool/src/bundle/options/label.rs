//! `--label`: what the caller notes about the container.

use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;

use crate::bundle::runtime_config::RuntimeConfig;

/// Notes about the container.
#[derive(Debug, Clone, Default, Args)]
pub struct LabelOptions {
    /// A note, kept as an annotation of config.json beside the image's labels; may be repeated.
    #[arg(long, short = 'l', value_name = "NAME[=VALUE]")]
    label: Vec<Label>,
}

/// A note: a name and what is noted under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Not empty.
    pub name: String,
    /// Any text.
    pub value: String,
}

impl FromStr for Label {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            bail!("a label is NAME=VALUE, or a NAME alone");
        }
        Ok(Label {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl LabelOptions {
    /// Writes the notes into config.json.
    pub(super) fn apply(&self, config: &mut RuntimeConfig) {
        for Label { name, value } in &self.label {
            config.annotations.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{applied, refused};

    #[test]
    fn labels_are_annotations() {
        let config = applied(&["--label=a=b=c", "-l", "alone"]);
        assert_eq!(config["annotations"]["a"], "b=c");
        assert_eq!(config["annotations"]["alone"], "");
        refused(&["--label==x"], "NAME=VALUE");
    }
}
