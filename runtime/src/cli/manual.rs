//! The tables of the command line as `clap` has them, for man pages and completions: in tests only.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, ValueHint};

use super::global::FLAGS as GLOBAL_FLAGS;
use super::help;
use super::syntax::{Flag, Kind, Verb};
use super::{HELP, VERBS, VERSION};

#[test]
fn manual() {
    windlass_manual::keep(program()).unwrap();
}

fn program() -> Command {
    let global = |flag| option(flag).global(true).help_heading("Global options");
    let help = option(&HELP).action(ArgAction::Help);
    Command::new("windlass")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Open Container Initiative runtime")
        .long_about(help::DESCRIPTION)
        .override_usage("windlass [global options] command [command options] [arguments]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(help.global(true).display_order(usize::MAX))
        .arg(option(&VERSION).action(ArgAction::Version))
        .args(GLOBAL_FLAGS.iter().map(|flag| global(flag)))
        .subcommands(VERBS.iter().copied().map(verb))
}

fn verb(verb: &'static Verb) -> Command {
    let name = verb.name;
    // What comes after `||` is another form of the verb.
    let forms = verb.positionals.shown.split("||").map(str::trim);
    let forms = forms.map(|form| format!("windlass {name} [options] {form}"));
    let command = Command::new(name)
        .about(verb.summary)
        .override_usage(forms.collect::<Vec<_>>().join("\n"))
        .args(verb.flags.iter().map(|flag| option(flag)))
        .args(arguments(verb));
    match verb.description {
        "" => command,
        description => command.long_about(description),
    }
}

/// For the shells alone, which take them for paths; for people they are in the usage.
fn arguments(verb: &Verb) -> Option<Arg> {
    (verb.positionals.most > 0).then(|| {
        Arg::new("arguments")
            .num_args(0..)
            .value_hint(ValueHint::AnyPath)
            .hide(true)
    })
}

fn option(flag: &'static Flag) -> Arg {
    let argument = Arg::new(flag.name).long(flag.name).help(flag.help);
    let argument = match flag.short {
        Some(short) => argument.short(short),
        None => argument,
    };
    if flag.kind == Kind::Switch {
        return argument.action(ArgAction::SetTrue);
    }
    let argument = argument.value_name(flag.value).action(match flag.kind {
        Kind::Texts | Kind::Numbers => ArgAction::Append,
        _ => ArgAction::Set,
    });
    let argument = match flag.kind {
        Kind::Path => argument
            .value_parser(ValueParser::path_buf())
            .value_hint(ValueHint::AnyPath),
        _ => argument,
    };
    match flag.default {
        "" => argument,
        default => argument.default_value(default),
    }
}
