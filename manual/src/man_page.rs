//! A man page: what `clap_mangen` makes of a command, but for the synopsis, which is the usage of
//! `--help` (a list of sixty options is none), and for the examples, whose lines stay lines.

use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Roff, roman};

/// The page of a program or of a verb, in roff.
pub(super) fn man_page(mut command: Command, version: &str) -> io::Result<Vec<u8>> {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    let examples = command.get_after_help().map(ToString::to_string);
    let title = super::name_of(&command).to_uppercase();
    let command = command
        .override_usage(usage)
        .after_help(None::<&str>)
        .after_long_help(None::<&str>)
        .mut_args(under_heading);
    let page = Man::new(command)
        .title(title)
        // No date, so that the same command line gives the same page; empty, roff loses it.
        .date(" ")
        .source(format!("windlass {version}"))
        .manual("windlass");
    let mut text = Vec::new();
    page.render(&mut text)?;
    if let Some(examples) = examples {
        text.extend(section_of_examples(&examples).to_roff().into_bytes());
    }
    Ok(text)
}

/// Arguments that are no options have a section of their own.
fn under_heading(argument: Arg) -> Arg {
    if argument.is_positional() {
        return argument.help_heading("Arguments");
    }
    argument
}

fn section_of_examples(examples: &str) -> Roff {
    let label = ["Examples:", "Example:"];
    let label = label.into_iter().find(|label| examples.starts_with(label));
    let mut section = Roff::new();
    section.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in examples[label.map_or(0, str::len)..].lines() {
        section.text([roman(line.trim())]);
    }
    section.control("fi", []);
    section
}
