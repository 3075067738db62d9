//! Trying again: after a wait that grows, differs from client to client, and heeds what the server
//! asks for.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::error::RequestError;
use crate::sys::signal;

/// How often and how long to try.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Further tries after the first.
    pub times: u32,
    /// The wait before the first of them; each further one waits twice as long.
    pub first_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            times: 3,
            first_wait: Duration::from_millis(500),
        }
    }
}

/// No server makes us wait longer than this at once.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Trying again, for all who speak to one server, until they give up together.
#[derive(Debug, Default)]
pub struct Retry {
    policy: RetryPolicy,
    given_up: AtomicBool,
}

impl Retry {
    /// Tries again as often as `policy` says.
    pub fn new(policy: RetryPolicy) -> Self {
        Retry {
            policy,
            given_up: AtomicBool::new(false),
        }
    }

    /// Nothing is tried again from now on: what fails, or waits for another try, has failed.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Does `work` until it succeeds, fails for good, or has been tried often enough.
    pub fn run<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            match work() {
                Ok(value) => return Ok(value),
                Err(error) => self.pause(&mut tries, error)?,
            }
        }
    }

    /// Waits before another try; gives the error back where there will be none.
    pub fn pause(&self, tries: &mut u32, error: anyhow::Error) -> Result<()> {
        signal::check()?;
        let Some(failure) = RequestError::find(&error) else {
            return Err(error);
        };
        let given_up = || self.given_up.load(Ordering::Relaxed);
        if *tries >= self.policy.times || !failure.may_pass() || given_up() {
            return Err(error);
        }
        let asked = failure.wait();
        if let Some(asked) = asked.filter(|&asked| asked > LONGEST_WAIT) {
            let seconds = asked.as_secs();
            return Err(error.context(format!("the server wants us to wait {seconds} s")));
        }
        let wait = jittered(self.policy.first_wait * 2_u32.pow((*tries).min(6))).min(LONGEST_WAIT);
        *tries += 1;
        let until = Instant::now() + asked.map_or(wait, |asked| asked + wait / 4);
        while !given_up() {
            signal::check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
        Err(error)
    }
}

/// Between half of it and one and a half.
fn jittered(wait: Duration) -> Duration {
    // The standard library's keys for hash maps are its one source of randomness.
    let random = RandomState::new().build_hasher().finish();
    let thousandth = u32::try_from(random % 1000).unwrap_or(0);
    wait / 2 + wait * thousandth / 1000
}

/// Reads a `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3).
pub fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?;
    let wait = date.timestamp().duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16) -> anyhow::Error {
        let detail = String::new();
        RequestError::Status {
            call: "GET x".into(),
            status,
            detail,
            wait: None,
        }
        .into()
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let retry = Retry::new(RetryPolicy {
            times: 2,
            first_wait: Duration::from_millis(1),
        });
        for (status, expected) in [(503, 3), (429, 3), (404, 1), (401, 1)] {
            let mut calls = 0;
            let result: Result<()> = retry.run(|| {
                calls += 1;
                Err(failure(status).context("some work"))
            });
            assert_eq!(RequestError::status_of(&result.unwrap_err()), Some(status));
            assert_eq!(calls, expected, "{status}");
        }
    }

    #[test]
    fn who_waits_for_another_try_gives_up_with_the_others() {
        let retry = Retry::new(RetryPolicy {
            times: 2,
            first_wait: Duration::from_secs(3600),
        });
        let (tried, has_tried) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                retry.run(|| -> Result<()> {
                    tried.send(()).unwrap();
                    Err(failure(503))
                })
            });
            has_tried.recv().unwrap();
            retry.give_up();
            let error = waiting.join().unwrap().unwrap_err();
            assert_eq!(RequestError::status_of(&error), Some(503));
        });
        assert!(retry.run(|| -> Result<()> { Err(failure(503)) }).is_err());
    }

    #[test]
    fn waits_are_read_in_both_forms() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon"), None);
    }
}
