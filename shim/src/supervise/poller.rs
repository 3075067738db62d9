//! The one place where the supervisor waits: an epoll instance and the numbers that its
//! descriptors are known by.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

pub use rustix::event::epoll::EventFlags as Interest;

/// What a descriptor is registered under; [`Token::FIRST_OF_FRONT`] and above belong to the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub u64);

impl Token {
    pub(super) const INIT: Token = Token(0);
    pub(super) const SIGNALS: Token = Token(1);
    pub(super) const STDIN: Token = Token(2);
    pub(super) const STDOUT: Token = Token(3);
    pub(super) const STDERR: Token = Token(4);
    /// The lowest number that a front end may use.
    pub const FIRST_OF_FRONT: Token = Token(16);
}

/// Something happened on the descriptor registered under `token`.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Which descriptor.
    pub token: Token,
    /// What happened; `ERR` and `HUP` come unasked.
    pub ready: Interest,
}

/// A level-triggered `epoll(7)` instance.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    /// A poller that watches nothing yet.
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
        Ok(Poller { epoll })
    }

    /// Starts watching a descriptor.
    pub fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token.0),
            interest,
        )
        .with_context(|| format!("epoll_ctl(EPOLL_CTL_ADD, {token:?})"))
    }

    /// Changes what is asked of a descriptor that is being watched.
    pub fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        epoll::modify(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token.0),
            interest,
        )
        .with_context(|| format!("epoll_ctl(EPOLL_CTL_MOD, {token:?})"))
    }

    /// Stops watching a descriptor. Asking for nothing would not do: `HUP` is always reported, and
    /// a hung-up pipe that must not be read yet would spin.
    pub fn remove(&self, fd: impl AsFd) -> Result<()> {
        epoll::delete(&self.epoll, fd).context("epoll_ctl(EPOLL_CTL_DEL)")
    }

    /// Waits for events, at most for `timeout` (without one: for ever), and appends them to
    /// `ready`.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<Event>) -> Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 16];
        match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
            Ok((events, _)) => ready.extend(events.iter().map(|event| Event {
                token: Token(event.data.u64()),
                ready: event.flags,
            })),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("epoll_wait"),
        }
        Ok(())
    }
}
