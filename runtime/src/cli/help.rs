//! `--help`, in runc's layout, from the tables of the command line.

use std::fmt::Write;

use super::global::FLAGS as GLOBAL_FLAGS;
use super::syntax::{Flag, Kind, Verb};
use super::{HELP, VERBS, VERSION, own_name};

pub(super) const DESCRIPTION: &str = "\
Creates, starts, signals and deletes containers from OCI bundles: a bundle is a
directory with a config.json (see \"spec\") and the container's root file system.
Takes runc's command line, so that engines can call it in runc's place.";

/// The help of a verb.
pub(super) fn of_verb(verb: &Verb) -> String {
    let program = own_name();
    let mut text = String::new();
    let Verb { name, summary, .. } = verb;
    let shown = verb.positionals.shown;
    let _ = write!(text, "NAME:\n   {program} {name} - {summary}\n\n");
    let _ = write!(text, "USAGE:\n   {program} {name} [options] {shown}\n");
    describe(&mut text, verb.description);
    list_flags(&mut text, "OPTIONS", verb.flags, &[&HELP]);
    list_flags(&mut text, "GLOBAL OPTIONS", GLOBAL_FLAGS, &[]);
    text
}

/// The help of the whole.
pub(super) fn of_program() -> String {
    let program = own_name();
    let mut text = String::new();
    let _ = write!(
        text,
        "NAME:\n   {program} - Open Container Initiative runtime\n\n\
         USAGE:\n   {program} [global options] command [command options] [arguments]\n\n\
         VERSION:\n   {}\n",
        env!("CARGO_PKG_VERSION")
    );
    describe(&mut text, DESCRIPTION);
    text.push_str("\nCOMMANDS:\n");
    let rows = VERBS
        .iter()
        .map(|verb| (verb.name.to_owned(), verb.summary.to_owned()))
        .chain([(
            "help, h".to_owned(),
            "show the commands, or the help of one".to_owned(),
        )]);
    list(&mut text, &rows.collect::<Vec<_>>());
    list_flags(
        &mut text,
        "GLOBAL OPTIONS",
        GLOBAL_FLAGS,
        &[&HELP, &VERSION],
    );
    text
}

fn describe(text: &mut String, description: &str) {
    if description.is_empty() {
        return;
    }
    text.push_str("\nDESCRIPTION:\n");
    for line in description.lines() {
        let _ = writeln!(text, "{}", format!("   {line}").trim_end());
    }
}

fn list_flags(text: &mut String, title: &str, flags: &[&Flag], more: &[&Flag]) {
    let _ = write!(text, "\n{title}:\n");
    let rows: Vec<_> = flags
        .iter()
        .chain(more)
        .map(|flag| (names_of(flag), help_of(flag)))
        .collect();
    list(text, &rows);
}

fn names_of(flag: &Flag) -> String {
    let value = match flag.value {
        "" => String::new(),
        value => format!(" {value}"),
    };
    match flag.short {
        Some(short) => format!("--{}{value}, -{short}{value}", flag.name),
        None => format!("--{}{value}", flag.name),
    }
}

fn help_of(flag: &Flag) -> String {
    let mut help = flag.help.to_owned();
    if matches!(flag.kind, Kind::Texts | Kind::Numbers) {
        help.push_str("; may be given more than once");
    }
    if !flag.default.is_empty() {
        let _ = write!(help, " (default: {})", flag.default);
    }
    help
}

fn list(text: &mut String, rows: &[(String, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, help) in rows {
        let _ = writeln!(text, "   {name:width$}  {help}");
    }
}
