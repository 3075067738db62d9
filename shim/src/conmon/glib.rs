//! The grammar of a command line as GLib reads it (`goption.c`, "Commandline option parser"), which
//! is what conmon's callers write for.
//!
//! A long option's value is the rest after `=` or the next argument, whatever that looks like. A
//! short option's value is always the next argument, so that of several in one word (`-it`) only
//! the last may have one. Words that are no options are passed over: podman's `--api-version 1`
//! counts on that. `--` ends the options.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// One option.
#[derive(Debug)]
pub struct Entry {
    /// Without its two dashes.
    pub long: &'static str,
    /// Without its dash.
    pub short: Option<char>,
    /// Whether it needs a value.
    pub takes_value: bool,
    /// What `--help` says of it; nothing if it is left out there.
    pub help: &'static str,
}

/// One occurrence of an option.
#[derive(Debug)]
pub struct Given<'a> {
    /// Its long name, without dashes.
    pub long: &'static str,
    /// As it was written, for messages: `-l` or `--log-path`.
    pub spelling: &'a str,
    /// Its value; empty for one that takes none.
    pub value: String,
}

/// Whether the command line asks for anything but help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `--help`, `--help-all`, `-h` or `-?` stood there, before anything wrong.
    Help,
    /// The options have all been passed to `take`.
    Options,
}

/// Reads `arguments` (without the program's name) and gives each option to `take`, in order.
///
/// The error is GLib's own sentence.
pub fn parse(
    entries: &'static [Entry],
    arguments: impl IntoIterator<Item = OsString>,
    mut take: impl FnMut(Given<'_>) -> Result<(), String>,
) -> Result<Asked, String> {
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let word = argument.as_bytes();
        if word == b"--" {
            break;
        }
        if let Some(long) = word.strip_prefix(b"--") {
            if long == b"help" || long == b"help-all" {
                return Ok(Asked::Help);
            }
            read_long(entries, long, &mut arguments, &mut take)?;
        } else if let Some(cluster) = word.strip_prefix(b"-").filter(|rest| !rest.is_empty()) {
            let cluster = String::from_utf8_lossy(cluster);
            if read_cluster(entries, &cluster, &mut arguments, &mut take)? == Asked::Help {
                return Ok(Asked::Help);
            }
        }
    }
    Ok(Asked::Options)
}

fn read_long(
    entries: &'static [Entry],
    word: &[u8],
    arguments: &mut impl Iterator<Item = OsString>,
    take: &mut impl FnMut(Given<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let equals = word.iter().position(|byte| *byte == b'=');
    let name = &word[..equals.unwrap_or(word.len())];
    let Some(entry) = entries.iter().find(|entry| entry.long.as_bytes() == name) else {
        return Err(format!(
            "Unknown option --{}",
            String::from_utf8_lossy(word)
        ));
    };
    let spelling = format!("--{}", entry.long);
    // What stands behind the `=` of an option without a value is not looked at.
    let value = match equals {
        _ if !entry.takes_value => String::new(),
        Some(equals) => text(&word[equals + 1..])?,
        None => next_value(arguments, &spelling)?,
    };
    take(Given {
        long: entry.long,
        spelling: &spelling,
        value,
    })
}

fn read_cluster(
    entries: &'static [Entry],
    cluster: &str,
    arguments: &mut impl Iterator<Item = OsString>,
    take: &mut impl FnMut(Given<'_>) -> Result<(), String>,
) -> Result<Asked, String> {
    let mut value_taken = false;
    for letter in cluster.chars() {
        if letter == '?' || letter == 'h' {
            return Ok(Asked::Help);
        }
        let Some(entry) = entries.iter().find(|entry| entry.short == Some(letter)) else {
            return Err(format!("Unknown option -{cluster}"));
        };
        let spelling = format!("-{letter}");
        let value = match (entry.takes_value, value_taken) {
            (false, _) => String::new(),
            (true, true) => return Err(format!("Error parsing option {spelling}")),
            (true, false) => {
                value_taken = true;
                next_value(arguments, &spelling)?
            }
        };
        take(Given {
            long: entry.long,
            spelling: &spelling,
            value,
        })?;
    }
    Ok(Asked::Options)
}

fn next_value(
    arguments: &mut impl Iterator<Item = OsString>,
    spelling: &str,
) -> Result<String, String> {
    match arguments.next() {
        Some(value) => text(value.as_bytes()),
        None => Err(format!("Missing argument for {spelling}")),
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| "Invalid byte sequence in conversion input".to_owned())
}

/// A whole number as C's `strtol` reads one with base 0: spaces, a sign, and a `0x` or `0` before
/// hexadecimal or octal digits.
pub fn integer(given: &Given<'_>, least: i64, greatest: i64) -> Result<i64, String> {
    let wrong = || {
        format!(
            "Cannot parse integer value “{}” for {}",
            given.value, given.spelling
        )
    };
    let out_of_range = || {
        format!(
            "Integer value “{}” for {} out of range",
            given.value, given.spelling
        )
    };
    let trimmed = given.value.trim_start();
    let (negative, unsigned) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(wrong());
    }
    let number = i128::from_str_radix(digits, radix).map_err(|_| out_of_range())?;
    let number = if negative { -number } else { number };
    i64::try_from(number)
        .ok()
        .filter(|number| (least..=greatest).contains(number))
        .ok_or_else(out_of_range)
}

/// What `--help` prints.
pub fn help(program: &str, entries: &'static [Entry]) -> String {
    let mut text = format!(
        "Usage:\n  {program} [OPTION…] - conmon utility\n\nHelp Options:\n  \
         -h, --help                   Show help options\n\nApplication Options:\n"
    );
    for entry in entries.iter().filter(|entry| !entry.help.is_empty()) {
        let names = match entry.short {
            Some(short) => format!("-{short}, --{}", entry.long),
            None => format!("--{}", entry.long),
        };
        text.extend(["  ", &format!("{names:<29}"), entry.help, "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    static ENTRIES: [Entry; 4] = [
        Entry {
            long: "exec",
            short: Some('e'),
            takes_value: false,
            help: "",
        },
        Entry {
            long: "exec-attach",
            short: None,
            takes_value: false,
            help: "attach",
        },
        Entry {
            long: "log-path",
            short: Some('l'),
            takes_value: true,
            help: "path",
        },
        Entry {
            long: "timeout",
            short: Some('T'),
            takes_value: true,
            help: "seconds",
        },
    ];

    fn read(words: &[&str]) -> Result<Vec<String>, String> {
        let mut seen = Vec::new();
        let asked = parse(&ENTRIES, words.iter().map(OsString::from), |given| {
            seen.push(format!("{}={}", given.long, given.value));
            Ok(())
        })?;
        if asked == Asked::Help {
            seen.push("help".to_owned());
        }
        Ok(seen)
    }

    #[test]
    fn values_stand_behind_an_equals_sign_or_in_the_next_word() {
        let words = ["-l", "a", "--log-path=b=c", "--log-path", "--exec", "-e"];
        let seen = read(&words).expect("all known");
        assert_eq!(
            seen,
            ["log-path=a", "log-path=b=c", "log-path=--exec", "exec="]
        );
        assert_eq!(
            read(&["-el", "x", "-"]),
            Ok(vec!["exec=".into(), "log-path=x".into()])
        );
    }

    #[test]
    fn words_that_are_no_options_are_passed_over() {
        assert_eq!(read(&["--exec", "1", "-e"]).map(|seen| seen.len()), Ok(2));
        assert_eq!(read(&["--", "--nonsense"]), Ok(vec![]));
        assert_eq!(read(&["--exec=0"]), Ok(vec!["exec=".into()]));
    }

    #[test]
    fn what_is_wrong_is_said_as_glib_says_it() {
        let error = |words: &[&str]| read(words).expect_err("wrong");
        assert_eq!(error(&["--nosuch=1"]), "Unknown option --nosuch=1");
        assert_eq!(error(&["-eZ"]), "Unknown option -eZ");
        assert_eq!(error(&["-lx"]), "Missing argument for -l");
        assert_eq!(error(&["--log-path"]), "Missing argument for --log-path");
        assert_eq!(error(&["-lT", "a", "b"]), "Error parsing option -T");
        assert_eq!(read(&["-h", "--nosuch"]), Ok(vec!["help".into()]));
    }

    #[test]
    fn integers_are_c_s() {
        let read = |value: &str| {
            let given = Given {
                long: "timeout",
                spelling: "-T",
                value: value.to_owned(),
            };
            integer(&given, i64::from(i32::MIN), i64::from(i32::MAX))
        };
        let good = [(" 7", 7), ("-3", -3), ("0x1F", 31), ("010", 8), ("+0", 0)];
        for (text, number) in good {
            assert_eq!(read(text), Ok(number), "{text}");
        }
        for text in ["", "7 ", "1k", "0x", "08", "--1"] {
            assert!(
                read(text).is_err_and(|error| error.contains("Cannot parse")),
                "{text}"
            );
        }
        for text in ["2147483648", "99999999999999999999999999999999999999999999"] {
            assert!(
                read(text).is_err_and(|error| error.contains("out of range")),
                "{text}"
            );
        }
    }
}
