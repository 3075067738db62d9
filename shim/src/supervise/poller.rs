//! The one place where the supervisor waits: an epoll instance and the numbers that its
//! descriptors are known by.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

pub use rustix::event::epoll::EventFlags as Interest;

/// What a descriptor is registered under: a part of a process or of a call that the core watches,
/// or a number of the front's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub u64);

/// Set in the tokens that belong to the front.
const OF_FRONT: u64 = 1 << 63;

/// Which descriptor of a process or of a call of the runtime it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The pidfd of a supervised process.
    Process,
    /// The container's standard input, which takes bytes again.
    Input,
    /// Where its input comes from.
    InputSource,
    /// Its standard output, or its terminal.
    Stdout,
    /// Its standard error.
    Stderr,
    /// Where its standard output goes, which takes bytes again.
    StdoutSink,
    /// Where its standard error goes.
    StderrSink,
    /// The runtime's pidfd, or something that it says.
    Call,
}

impl Part {
    const ALL: [Part; 8] = [
        Part::Process,
        Part::Input,
        Part::InputSource,
        Part::Stdout,
        Part::Stderr,
        Part::StdoutSink,
        Part::StderrSink,
        Part::Call,
    ];
}

/// Whom a token belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    Signals,
    Front,
    Core(u32, Part),
}

impl Token {
    pub(super) const SIGNALS: Token = Token(0);

    /// A token for a descriptor of the front's own; `number` is below 2^63.
    pub const fn of_front(number: u64) -> Token {
        Token(OF_FRONT | number)
    }

    /// The number that [`Token::of_front`] was given.
    pub const fn number(self) -> u64 {
        self.0 & !OF_FRONT
    }

    /// `key` is never 0.
    pub(super) fn of_core(key: u32, part: Part) -> Token {
        Token(u64::from(key) << 8 | part as u64)
    }

    pub(super) fn owner(self) -> Owner {
        let part = usize::try_from(self.0 & 0xff).ok();
        let part = part.and_then(|part| Part::ALL.get(part));
        match (u32::try_from(self.0 >> 8), part) {
            (Ok(0), _) => Owner::Signals,
            (Ok(key), Some(part)) => Owner::Core(key, *part),
            _ => Owner::Front,
        }
    }
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
    /// a hung-up pipe that must not be read yet would spin. Closing it would not do either, where
    /// someone else has the same open file: it is the file that epoll knows (epoll(7)).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_knows_its_owner() {
        for (index, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part as usize, index);
            let token = Token::of_core(u32::MAX, part);
            assert!(matches!(token.owner(), Owner::Core(u32::MAX, found) if found == part));
        }
        assert!(matches!(Token::SIGNALS.owner(), Owner::Signals));
        let token = Token::of_front(7);
        assert!(matches!(token.owner(), Owner::Front));
        assert_eq!(token.number(), 7);
    }
}
