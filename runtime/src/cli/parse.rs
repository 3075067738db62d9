//! The words of the command line by the tables of [`super::syntax`], in the way of runc's library
//! (Go's urfave/cli), which engines rely on: `--flag VALUE`, `--flag=VALUE` and `-flag VALUE` are
//! one, a switch takes its value with `=` only, options may follow arguments unless the verb says
//! otherwise, `--` ends them, the last one wins, and a list is never split on commas.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::global::FLAGS as GLOBAL_FLAGS;
use super::syntax::{Flag, Kind, Verb};
use super::{HELP, VERBS, VERSION};
use crate::error::{Error, Result};

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Command<'w> {
    /// To do something.
    Do(&'static Verb, Arguments<'w>),
    /// The help of a verb, or of the whole.
    Help(Option<&'static Verb>),
    /// `--version`.
    Version,
}

/// Why a command line was not understood.
#[derive(Debug)]
pub(super) enum Misuse {
    /// The options of a verb, or the global ones, are not used as they are meant.
    Usage {
        verb: Option<&'static Verb>,
        problem: String,
    },
    /// There is no such verb; with the exit status.
    NoTopic { word: String, status: u8 },
}

/// Options and arguments as they were given; the words are the caller's.
#[derive(Debug, Default)]
pub(super) struct Arguments<'w> {
    given: Vec<(&'static Flag, &'w OsStr)>,
    positionals: Vec<&'w OsStr>,
}

/// Understands the words after the program's name.
pub(super) fn parse(words: &[OsString]) -> Result<Command<'_>, Misuse> {
    let mut arguments = Arguments::default();
    let mut rest = words;
    let verb = arguments
        .take(&mut rest, None)
        .map_err(|problem| Misuse::Usage {
            verb: None,
            problem,
        })?;
    let wants_help = arguments.switch(&HELP);
    let Some(verb) = verb else {
        return match arguments.positionals.as_slice() {
            _ if arguments.switch(&VERSION) && !wants_help => Ok(Command::Version),
            [] => Ok(Command::Help(None)),
            [help, topic, ..] if is_help(help) => match verb_called(topic) {
                Some(verb) => Ok(Command::Help(Some(verb))),
                None => Err(no_topic(topic, 3)),
            },
            [help] if is_help(help) => Ok(Command::Help(None)),
            [word, ..] if wants_help => Err(no_topic(word, 1)),
            [word, ..] => Err(no_topic(word, 3)),
        };
    };
    if wants_help {
        return Ok(Command::Help(Some(verb)));
    }
    if arguments.switch(&VERSION) {
        return Ok(Command::Version);
    }
    arguments
        .take(&mut rest, Some(verb))
        .map_err(|problem| Misuse::Usage {
            verb: Some(verb),
            problem,
        })?;
    if arguments.switch(&HELP) {
        return Ok(Command::Help(Some(verb)));
    }
    Ok(Command::Do(verb, arguments))
}

fn no_topic(word: &OsStr, status: u8) -> Misuse {
    Misuse::NoTopic {
        word: word.to_string_lossy().into_owned(),
        status,
    }
}

fn is_help(word: &OsStr) -> bool {
    word == "help" || word == "h"
}

fn verb_called(word: &OsStr) -> Option<&'static Verb> {
    VERBS.iter().copied().find(|verb| word == verb.name)
}

impl<'w> Arguments<'w> {
    /// Takes words of the given verb, or, as long as there is none, those up to a verb, which it
    /// returns. `Err` is what is wrong, in the words of runc's library.
    fn take(
        &mut self,
        words: &mut &'w [OsString],
        verb: Option<&'static Verb>,
    ) -> Result<Option<&'static Verb>, String> {
        let end_options = verb.is_some_and(|verb| verb.positionals.end_options);
        while let Some((word, rest)) = words.split_first() {
            let bytes = word.as_bytes();
            if bytes == b"--" {
                self.positionals
                    .extend(rest.iter().map(OsString::as_os_str));
                return Ok(None);
            }
            let ended = end_options && !self.positionals.is_empty();
            // A minus and no letter is a negative number, for `kill`.
            let number = bytes.len() > 1 && !bytes[1].is_ascii_alphabetic() && bytes[1] != b'-';
            if ended || (bytes.first() == Some(&b'-') && number) {
                self.positionals
                    .extend(words.iter().map(OsString::as_os_str));
                return Ok(None);
            }
            *words = rest;
            let name = match bytes {
                [b'-', b'-', name @ ..] | [b'-', name @ ..] if !name.is_empty() => name,
                _ => {
                    if verb.is_none() && self.positionals.is_empty() {
                        if let Some(found) = verb_called(word) {
                            return Ok(Some(found));
                        }
                        if is_help(word) {
                            self.positionals.push(word);
                            self.positionals
                                .extend(rest.iter().map(OsString::as_os_str));
                            return Ok(None);
                        }
                    }
                    self.positionals.push(word);
                    continue;
                }
            };
            let (name, value) = match name.iter().position(|byte| *byte == b'=') {
                Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]))),
                None => (name, None),
            };
            let flag = flag_called(name, verb).ok_or_else(|| {
                format!(
                    "flag provided but not defined: -{}",
                    String::from_utf8_lossy(name)
                )
            })?;
            let value = match (flag.kind, value) {
                (Kind::Switch, None) => OsStr::new("true"),
                (Kind::Switch, Some(value)) if value.is_empty() => OsStr::new("true"),
                (_, Some(value)) => value,
                (_, None) => {
                    let Some((value, rest)) = words.split_first() else {
                        return Err(format!(
                            "flag needs an argument: {}",
                            word.to_string_lossy()
                        ));
                    };
                    *words = rest;
                    value
                }
            };
            if let Some(problem) = problem_with(flag.kind, value) {
                return Err(format!(
                    "invalid value {:?} for flag -{}: {problem}",
                    value.to_string_lossy(),
                    String::from_utf8_lossy(name),
                ));
            }
            self.given.push((flag, value));
        }
        Ok(None)
    }

    /// Whether an option was given at all.
    pub(super) fn has(&self, flag: &'static Flag) -> bool {
        self.values(flag).next().is_some()
    }

    /// The last one wins.
    fn value(&self, flag: &'static Flag) -> Option<&'w OsStr> {
        self.values(flag)
            .last()
            .or(Some(OsStr::new(flag.default)))
            .filter(|value| !value.is_empty())
    }

    /// An option is the one static that it is: a verb's may have the name of a global one.
    fn values(&self, flag: &'static Flag) -> impl Iterator<Item = &'w OsStr> {
        self.given
            .iter()
            .filter(move |(given, _)| std::ptr::eq(*given, flag))
            .map(|(_, value)| *value)
    }

    pub(super) fn switch(&self, flag: &'static Flag) -> bool {
        self.value(flag)
            .and_then(OsStr::to_str)
            .and_then(boolean)
            .unwrap_or(false)
    }

    /// A value; an empty one is none, as for runc.
    pub(super) fn text(&self, flag: &'static Flag) -> Option<&'w str> {
        self.value(flag).and_then(OsStr::to_str)
    }

    /// The same as a path.
    pub(super) fn path(&self, flag: &'static Flag) -> Option<&'w Path> {
        self.value(flag).map(Path::new)
    }

    pub(super) fn number(&self, flag: &'static Flag) -> Option<i64> {
        self.text(flag).and_then(number)
    }

    pub(super) fn texts(&self, flag: &'static Flag) -> impl Iterator<Item = &'w str> {
        self.values(flag).filter_map(OsStr::to_str)
    }

    pub(super) fn numbers(&self, flag: &'static Flag) -> impl Iterator<Item = i64> {
        self.texts(flag).filter_map(number)
    }

    /// What stands there besides options.
    pub(super) fn positionals(&self) -> &[&'w OsStr] {
        &self.positionals
    }

    /// The container's id, which is the first of them.
    ///
    /// # Errors
    /// When it can't be one.
    pub(super) fn id(&self) -> Result<&'w str> {
        self.positionals
            .first()
            .and_then(|word| word.to_str())
            .ok_or_else(|| Error::new("invalid container ID format"))
    }
}

fn flag_called(name: &[u8], verb: Option<&Verb>) -> Option<&'static Flag> {
    let own = verb.map_or(&[][..], |verb| verb.flags);
    let version = verb.is_none().then_some(&VERSION);
    own.iter()
        .chain(GLOBAL_FLAGS)
        .copied()
        .chain([&HELP])
        .chain(version)
        .find(|flag| flag.is_called(name))
}

fn problem_with(kind: Kind, value: &OsStr) -> Option<&'static str> {
    let Some(text) = value.to_str() else {
        return (kind != Kind::Path).then_some("not UTF-8");
    };
    match kind {
        Kind::Switch if boolean(text).is_none() => Some("neither true nor false"),
        Kind::Number | Kind::Numbers if number(text).is_none() => Some("not a whole number"),
        _ => None,
    }
}

/// As Go's strconv.ParseBool takes them.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<R>(line: &str, look: impl FnOnce(Result<Command<'_>, Misuse>) -> R) -> R {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        look(parse(&words))
    }

    /// What `exec`'s and the global options come to, as one line.
    fn shown(line: &str) -> String {
        with(line, |command| match command {
            Ok(Command::Do(verb, arguments)) => {
                let given: Vec<String> = arguments
                    .given
                    .iter()
                    .map(|(flag, value)| format!("{}={}", flag.name, value.display()))
                    .collect();
                let positionals: Vec<_> = arguments
                    .positionals
                    .iter()
                    .map(|word| word.to_string_lossy())
                    .collect();
                format!(
                    "{} [{}] {}",
                    verb.name,
                    given.join(" "),
                    positionals.join(" ")
                )
            }
            Ok(Command::Help(verb)) => format!("help {}", verb.map_or("", |verb| verb.name)),
            Ok(Command::Version) => "version".to_owned(),
            Err(Misuse::Usage { verb, problem }) => {
                format!("{}: {problem}", verb.map_or("", |verb| verb.name))
            }
            Err(Misuse::NoTopic { word, status }) => format!("no {word}: {status}"),
        })
    }

    #[test]
    fn all_of_gos_ways_to_give_an_option() {
        for (line, understood) in [
            ("--root /r state c", "state [root=/r] c"),
            ("-root=/r state --debug c", "state [root=/r debug=true] c"),
            ("--debug=false list -q", "list [debug=false quiet=true] "),
            (
                "create c -b /b --pid-file=/p",
                "create [bundle=/b pid-file=/p] c",
            ),
            ("create --pid-file= c", "create [pid-file=] c"),
            ("create -- -c", "create [] -c"),
            ("delete -f=0 c", "delete [force=0] c"),
            (
                "exec -e A=1,2 -e B c ls -l",
                "exec [env=A=1,2 env=B] c ls -l",
            ),
            ("exec c -t", "exec [] c -t"),
            ("exec c -- ls --help", "exec [] c ls --help"),
            ("exec -t -- c ls", "exec [tty=true] c ls"),
            ("kill c -9", "kill [] c -9"),
            ("kill -9", "kill [] -9"),
            ("kill c --all", "kill [] c --all"),
            ("state -", "state [] -"),
        ] {
            assert_eq!(shown(line), understood, "{line}");
        }
    }

    #[test]
    fn help_and_what_is_not_understood() {
        for (line, answer) in [
            ("--help", "help "),
            ("help", "help "),
            ("h create", "help create"),
            ("help create -x", "help create"),
            ("create -h", "help create"),
            ("create a b c --help", "help create"),
            ("--help create", "help create"),
            ("-v", "version"),
            ("--version --debug", "version"),
            ("foo", "no foo: 3"),
            ("foo create", "no foo: 3"),
            ("foo -h", "no foo: 1"),
            ("help foo", "no foo: 3"),
            ("--x", ": flag provided but not defined: -x"),
            ("foo -x=1", ": flag provided but not defined: -x"),
            ("state -v c", "state: flag provided but not defined: -v"),
            (
                "create --pid-file",
                "create: flag needs an argument: --pid-file",
            ),
            (
                "create --preserve-fds=x c",
                "create: invalid value \"x\" for flag -preserve-fds: not a whole number",
            ),
            (
                "delete --force=maybe c",
                "delete: invalid value \"maybe\" for flag -force: neither true nor false",
            ),
        ] {
            assert_eq!(shown(line), answer, "{line}");
        }
    }

    #[test]
    fn the_last_one_wins_and_an_empty_value_is_none() {
        use super::super::global::ROOT;
        let root = |line: &str| {
            with(line, |command| match command {
                Ok(Command::Do(_, arguments)) => arguments.path(&ROOT).map(Path::to_path_buf),
                _ => None,
            })
        };
        assert_eq!(root("--root /a list --root=/b"), Some("/b".into()));
        assert_eq!(root("--root /a list --root="), None);
    }

    #[test]
    fn the_tables_hold_together() {
        let check = |flags: &[&Flag], whose: &str| {
            let mut names = Vec::new();
            for flag in flags {
                names.push(flag.name.to_owned());
                names.extend(flag.short.map(String::from));
                let is_switch = flag.kind == Kind::Switch;
                assert_eq!(flag.value.is_empty(), is_switch, "{}", flag.name);
                let default = OsStr::new(flag.default);
                assert!(default.is_empty() || problem_with(flag.kind, default).is_none());
            }
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "two options of {whose} have one name");
        };
        check(&[GLOBAL_FLAGS, &[&HELP, &VERSION]].concat(), "all");
        for verb in VERBS {
            check(&[verb.flags, &[&HELP]].concat(), verb.name);
            assert!(verb.positionals.least <= verb.positionals.most);
            assert!(verb.description.lines().all(|line| line.len() <= 90));
        }
    }
}
