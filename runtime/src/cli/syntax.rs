//! What the command line is made of: a table for each verb, beside its code. Parsing
//! ([`super::parse`]) and `--help` ([`super::help`]) read the same tables.

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use crate::error::Result;

/// A verb: `windlass NAME [options] ARGUMENTS`.
#[derive(Debug)]
pub(super) struct Verb {
    /// Its name.
    pub(super) name: &'static str,
    /// One line that says what it does.
    pub(super) summary: &'static str,
    /// More than that, in lines of at most 80 characters; may be empty.
    pub(super) description: &'static str,
    /// What stands on the command line besides options.
    pub(super) positionals: Positionals,
    /// Its options; the global ones are taken after the verb as well.
    pub(super) flags: &'static [&'static Flag],
    /// Whether a process of this program enters a container, and so must run from a binary that
    /// can't be written ([`crate::seal`]).
    pub(super) enters_container: bool,
    /// The exit status of its own failures.
    pub(super) failure_status: u8,
    /// What it does.
    pub(super) run: fn(&Arguments<'_>, &Global<'_>, &Log) -> Result<ExitCode>,
}

/// The arguments of a verb that are no options.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positionals {
    /// How `--help` shows them.
    pub(super) shown: &'static str,
    /// The fewest.
    pub(super) least: usize,
    /// The most.
    pub(super) most: usize,
    /// Whether all that follows the first is an argument, even if it looks like an option.
    pub(super) end_options: bool,
}

impl Positionals {
    pub(super) const NONE: Positionals = Positionals {
        shown: "",
        least: 0,
        most: 0,
        end_options: false,
    };
    /// The container's id alone.
    pub(super) const CONTAINER: Positionals = Positionals {
        shown: "<container-id>",
        least: 1,
        most: 1,
        end_options: false,
    };
}

/// An option.
#[derive(Debug)]
pub(super) struct Flag {
    /// Its name, without dashes.
    pub(super) name: &'static str,
    /// A name of one letter.
    pub(super) short: Option<char>,
    /// What it takes.
    pub(super) kind: Kind,
    /// How `--help` calls its value; empty for a switch.
    pub(super) value: &'static str,
    /// The value that it has when it is not given; may be empty.
    pub(super) default: &'static str,
    /// What it does, for `--help`.
    pub(super) help: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing, or `=true` or `=false`.
    Switch,
    /// UTF-8.
    Text,
    /// Any bytes.
    Path,
    /// A whole number.
    Number,
    /// UTF-8, more than once.
    Texts,
    /// Whole numbers, more than once.
    Numbers,
}

impl Flag {
    const fn new(kind: Kind, name: &'static str, value: &'static str, help: &'static str) -> Self {
        Flag {
            name,
            short: None,
            kind,
            value,
            default: "",
            help,
        }
    }

    pub(super) const fn switch(name: &'static str, help: &'static str) -> Self {
        Flag::new(Kind::Switch, name, "", help)
    }

    pub(super) const fn text(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Flag::new(Kind::Text, name, value, help)
    }

    pub(super) const fn path(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Flag::new(Kind::Path, name, value, help)
    }

    pub(super) const fn number(
        name: &'static str,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Flag::new(Kind::Number, name, value, help)
    }

    pub(super) const fn texts(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Flag::new(Kind::Texts, name, value, help)
    }

    pub(super) const fn numbers(
        name: &'static str,
        value: &'static str,
        help: &'static str,
    ) -> Self {
        Flag::new(Kind::Numbers, name, value, help)
    }

    /// The same with a name of one letter as well.
    pub(super) const fn or(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// The same with a value that it has when it is not given.
    pub(super) const fn by_default(mut self, value: &'static str) -> Self {
        self.default = value;
        self
    }

    /// Whether a word of the command line, its dashes taken off, means this option.
    pub(super) fn is_called(&self, name: &[u8]) -> bool {
        self.name.as_bytes() == name
            || (name.len() == 1 && self.short.is_some_and(|short| name[0] == short as u8))
    }
}
