//! What is typed in answer to a question, a password among them.

use std::io::{BufRead, ErrorKind};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::sys::signal;

/// Bytes of a line.
const LONGEST_LINE: usize = 64 << 10;

/// Reads a line, without its end. Unlike `BufRead::read_line`, which takes EINTR for nothing, it
/// ends with an error when a signal asks us to stop, so that the terminal can be put right.
pub(super) fn read_line(input: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    loop {
        signal::check()?;
        let ready = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other.context("read standard input")?,
        };
        let end = ready.iter().position(|&byte| byte == b'\n');
        let count = end.unwrap_or(ready.len());
        line.extend_from_slice(&ready[..count]);
        let is_last = end.is_some() || ready.is_empty();
        input.consume(count + usize::from(end.is_some()));
        if line.len() > LONGEST_LINE {
            bail!("a line of standard input has more than {LONGEST_LINE} bytes");
        }
        if is_last {
            let line = String::from_utf8(line).ok();
            let line = line.context("standard input is not UTF-8")?;
            return Ok(line.trim_end_matches('\r').to_owned());
        }
    }
}

/// Does something while standard input doesn't show what is typed.
pub(super) fn without_echo<T>(work: impl FnOnce() -> T) -> Result<T> {
    let stdin = std::io::stdin();
    let terminal = stdin.as_fd();
    let before = tcgetattr(terminal).context("tcgetattr of standard input")?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(terminal, OptionalActions::Flush, &silent).context("tcsetattr of standard input")?;
    let result = work();
    tcsetattr(terminal, OptionalActions::Flush, &before).context("tcsetattr of standard input")?;
    Ok(result)
}
