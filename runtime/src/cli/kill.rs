//! `windlass kill`

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::kill::kill;
use crate::error::{Error, Result};

pub(super) static VERB: Verb = Verb {
    name: "kill",
    summary: "send a signal (default: SIGTERM) to a container's first process",
    description: "\
The signal is given by name or number: TERM, SIGTERM and 15 are the same.",
    positionals: Positionals {
        shown: "<container-id> [signal]",
        least: 1,
        most: 2,
        end_options: true,
    },
    flags: &[&ALL],
    enters_container: false,
    failure_status: 1,
    run,
};

static ALL: Flag = Flag::switch(
    "all",
    "signal every process of the container, not its first one only",
)
.or('a');

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let signal = arguments.positionals().get(1);
    let signal = signal_number(&signal.map_or("TERM".into(), |word| word.to_string_lossy()))?;
    let container = global.container(arguments.id()?)?;
    kill(&container, signal, arguments.switch(&ALL))?;
    Ok(ExitCode::SUCCESS)
}

/// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`; 0 asks whether the process is there.
fn signal_number(text: &str) -> Result<i32> {
    const NAMES: [(&str, i32); 31] = [
        ("ABRT", libc::SIGABRT),
        ("ALRM", libc::SIGALRM),
        ("BUS", libc::SIGBUS),
        ("CHLD", libc::SIGCHLD),
        ("CONT", libc::SIGCONT),
        ("FPE", libc::SIGFPE),
        ("HUP", libc::SIGHUP),
        ("ILL", libc::SIGILL),
        ("INT", libc::SIGINT),
        ("IO", libc::SIGIO),
        ("KILL", libc::SIGKILL),
        ("PIPE", libc::SIGPIPE),
        ("PROF", libc::SIGPROF),
        ("PWR", libc::SIGPWR),
        ("QUIT", libc::SIGQUIT),
        ("SEGV", libc::SIGSEGV),
        ("STKFLT", libc::SIGSTKFLT),
        ("STOP", libc::SIGSTOP),
        ("SYS", libc::SIGSYS),
        ("TERM", libc::SIGTERM),
        ("TRAP", libc::SIGTRAP),
        ("TSTP", libc::SIGTSTP),
        ("TTIN", libc::SIGTTIN),
        ("TTOU", libc::SIGTTOU),
        ("URG", libc::SIGURG),
        ("USR1", libc::SIGUSR1),
        ("USR2", libc::SIGUSR2),
        ("VTALRM", libc::SIGVTALRM),
        ("WINCH", libc::SIGWINCH),
        ("XCPU", libc::SIGXCPU),
        ("XFSZ", libc::SIGXFSZ),
    ];
    let unknown = || Error::new(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        let known = (0..=libc::SIGRTMAX()).contains(&number);
        return if known { Ok(number) } else { Err(unknown()) };
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    // The kernel's numbers, not the C library's, which keeps two for itself: as runc counts.
    let real_time = match name.split_once(['+', '-']) {
        None if name == "RTMIN" => Some(34),
        None if name == "RTMAX" => Some(64),
        Some(("RTMIN", offset)) => offset.parse().ok().map(|offset: i32| 34 + offset),
        Some(("RTMAX", offset)) => offset.parse().ok().map(|offset: i32| 64 - offset),
        _ => None,
    };
    real_time
        .filter(|number| (34..=64).contains(number))
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::signal_number;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGKILL", 9),
            ("sighup", 1),
            ("0", 0),
            ("9", 9),
            ("RTMIN+1", 35),
            ("SIGRTMAX-1", 63),
        ] {
            assert_eq!(signal_number(text).unwrap(), number, "{text}");
        }
        for text in ["", "SIG", "TERMX", "-1", "65", "RTMIN+99", "1x"] {
            assert!(signal_number(text).is_err(), "{text}");
        }
    }
}
