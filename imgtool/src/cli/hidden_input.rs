//! The terminal that a password is typed at.

use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

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
