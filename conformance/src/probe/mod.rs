//! The part of this program that runs inside containers, as `/probe probe VERB ...`.
//!
//! | verb | what it does |
//! |---|---|
//! | `see [QUESTION]...` | prints an [`Observation`] as JSON |
//! | `see-into FILE [QUESTION]...` | writes it to a file |
//! | `wait [FILE]` | appends the name of each signal to FILE; SIGTERM and SIGINT end it with 0 |
//! | `exit N` | exits with N |
//! | `die N` | ends by signal N |
//! | `hoard N` | takes N bytes of memory, and writes to all of it |
//! | `fork-wait FILE` | leaves a child that ignores signals, writes its pid to FILE, then waits |
//! | `hook FILE LABEL [STATUS [SECONDS]]` | appends a [`HookVisit`] to FILE; sleeps; exits |
//! | `pounce FILE` | grabs other processes' programs, appends to FILE what it can write to |
//! | `swap A B` | exchanges two names again and again, until it is killed |

mod observation;
mod see;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use observation::{FileStatus, Mount, Observation};
pub use see::CAPABILITIES;

use crate::sys;

/// What a hook writes about its call.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct HookVisit {
    /// The label that the case gave it.
    pub label: String,
    /// All that stood on standard input.
    pub input: String,
    /// What it saw of itself.
    pub seen: Observation,
}

/// Carries out one verb; `arguments` are those after `probe`.
pub fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["see", questions @ ..] => print(&see::see(questions)),
        ["see-into", file, questions @ ..] => append(file, &see::see(questions)),
        ["wait"] => wait(None),
        ["wait", file] => wait(Some(file)),
        ["exit", status] => return exit_with(status),
        ["die", signal] => die(signal),
        ["hoard", bytes] => hoard(bytes),
        ["fork-wait", file] => fork_wait(file),
        ["hook", file, label, rest @ ..] => return hook(file, label, rest),
        ["pounce", file] => pounce(file),
        ["swap", one, other] => swap(one, other),
        _ => Err(io::Error::other(format!(
            "no such verb: probe {}",
            words.join(" ")
        ))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::from(111)
        }
    }
}

fn print(observation: &Observation) -> io::Result<()> {
    let mut line = serde_json::to_string(observation)?;
    line.push('\n');
    io::stdout().write_all(line.as_bytes())
}

fn append(file: &str, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)?
        .write_all(line.as_bytes())
}

fn wait(file: Option<&str>) -> io::Result<()> {
    sys::block_signals()?;
    if let Some(file) = file {
        File::create(file)?;
    }
    loop {
        let signal = sys::next_signal()?;
        if let Some(file) = file {
            OpenOptions::new()
                .append(true)
                .open(file)?
                .write_all(format!("{signal}\n").as_bytes())?;
        }
        if [libc::SIGTERM, libc::SIGINT].contains(&signal) {
            return Ok(());
        }
    }
}

fn exit_with(status: &str) -> ExitCode {
    ExitCode::from(status.parse::<u8>().unwrap_or(112))
}

fn die(signal: &str) -> io::Result<()> {
    sys::die_of(signal.parse().map_err(io::Error::other)?);
    Err(io::Error::other(format!(
        "signal {signal} did not end the process"
    )))
}

fn hoard(bytes: &str) -> io::Result<()> {
    let hoard = vec![1_u8; bytes.parse().map_err(io::Error::other)?];
    // Read back, so that it is not left out.
    let sum: u64 = hoard.iter().copied().map(u64::from).sum();
    println!("{sum}");
    Ok(())
}

fn fork_wait(file: &str) -> io::Result<()> {
    sys::block_signals()?;
    let child = sys::fork_sleeper()?;
    fs::write(file, format!("{child}\n"))?;
    wait(None)
}

fn hook(file: &str, label: &str, rest: &[&str]) -> ExitCode {
    let mut input = String::new();
    let seen = see::see(&[]);
    let read = io::stdin().read_to_string(&mut input);
    let visit = HookVisit {
        label: label.to_owned(),
        input,
        seen,
    };
    if let Err(error) = read.map(drop).and_then(|()| append(file, &visit)) {
        eprintln!("probe: hook {label}: {file}: {error}");
        return ExitCode::from(111);
    }
    if let Some(seconds) = rest.get(1).and_then(|seconds| seconds.parse().ok()) {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    rest.first()
        .map_or(ExitCode::SUCCESS, |status| exit_with(status))
}

fn swap(one: &str, other: &str) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    loop {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
    }
}

/// What CVE-2019-5736 does, with a harmless payload: an executable's own first byte.
fn pounce(file: &str) -> io::Result<()> {
    let own = fs::metadata("/proc/self/exe")?.ino();
    let mut held: Vec<File> = Vec::new();
    File::create(file)?;
    loop {
        for process in fs::read_dir("/proc")?.flatten() {
            if let Ok(program) = File::open(process.path().join("exe"))
                && program.metadata().is_ok_and(|found| found.ino() != own)
                && held.len() < 64
            {
                held.push(program);
            }
        }
        for program in &held {
            let path = format!("/proc/self/fd/{}", program.as_raw_fd());
            let writable = OpenOptions::new().write(true).open(&path);
            if writable.is_ok_and(|writable| writable.write_at(b"\x7f", 0).is_ok()) {
                let name = fs::read_link(&path)?;
                let line = format!("{}\n", name.display());
                OpenOptions::new()
                    .append(true)
                    .open(file)?
                    .write_all(line.as_bytes())?;
            }
        }
    }
}

/// The `Cap*` lines and other numbers of `/proc/self/status`, by name.
fn status_fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect()
}
