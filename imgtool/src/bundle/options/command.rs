//! `--entrypoint` and COMMAND: what the container executes.

use anyhow::{Result, bail};
use clap::Args;

/// The program and its arguments, where the caller says.
#[derive(Debug, Clone, Default, Args)]
pub struct CommandOptions {
    /// The program in the place of the image's ENTRYPOINT, whose CMD then goes too; '' for none.
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,

    /// The arguments of the image's ENTRYPOINT, or the program if it has none, in the place of its
    /// CMD; sh if neither says anything.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl CommandOptions {
    /// What is executed, by Docker's rules: COMMAND replaces CMD, `--entrypoint` replaces
    /// ENTRYPOINT and CMD.
    pub(super) fn arguments(&self, entrypoint: &[String], cmd: &[String]) -> Result<Vec<String>> {
        let own_entrypoint = self.entrypoint.iter().filter(|program| !program.is_empty());
        let arguments: Vec<String> = if self.entrypoint.is_some() {
            own_entrypoint.chain(&self.command).cloned().collect()
        } else if self.command.is_empty() {
            entrypoint.iter().chain(cmd).cloned().collect()
        } else {
            entrypoint.iter().chain(&self.command).cloned().collect()
        };
        if arguments.is_empty() && self.entrypoint.is_none() {
            // Docker refuses it; a bundle is a file that its user can still change, so it is umoci's.
            return Ok(vec!["sh".to_owned()]);
        }
        if arguments.is_empty() {
            bail!("there is nothing to execute: give a command after '--'");
        }
        if arguments[0].is_empty() {
            bail!("the program to execute is an empty string");
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in Docker's documentation of Dockerfiles, and what `docker run` makes of it.
    #[test]
    fn entrypoint_and_cmd_combine_as_docker_s() {
        let image = |entrypoint: &[&str], cmd: &[&str], own: Option<&str>, command: &[&str]| {
            let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let options = CommandOptions {
                entrypoint: own.map(str::to_owned),
                command: strings(command),
            };
            let (entrypoint, cmd): (Vec<_>, Vec<_>) = (strings(entrypoint), strings(cmd));
            options
                .arguments(&entrypoint, &cmd)
                .ok()
                .map(|words| words.join(" "))
        };
        let joined = |words: &str| Some(words.to_owned());
        assert_eq!(image(&["e", "1"], &["c"], None, &[]), joined("e 1 c"));
        assert_eq!(
            image(&["e", "1"], &["c"], None, &["x", "y"]),
            joined("e 1 x y")
        );
        assert_eq!(image(&["e"], &["c"], Some("p"), &[]), joined("p"));
        assert_eq!(image(&["e"], &["c"], Some("p"), &["x"]), joined("p x"));
        assert_eq!(image(&["e"], &["c"], Some(""), &["x"]), joined("x"));
        assert_eq!(image(&["e"], &["c"], Some(""), &[]), None);
        assert_eq!(image(&[], &["c", "d"], None, &[]), joined("c d"));
        assert_eq!(image(&[], &["c"], None, &["x"]), joined("x"));
        assert_eq!(image(&[], &[], None, &["x"]), joined("x"));
        assert_eq!(image(&[], &[], None, &[]), joined("sh"));
        assert_eq!(image(&[], &[""], None, &[]), None);
    }
}
