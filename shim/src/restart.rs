//! Whether a container that has ended is started again, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The pause before the first restart; every further one is twice as long (Docker's numbers).
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of this length was no failure to start: the next pause is the first again.
const SETTLED: Duration = Duration::from_secs(10);

/// When a container is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// When its status isn't 0; at most so often.
    OnFailure(Option<u32>),
    /// However it has ended.
    Always,
    /// Likewise: the two differ only where something starts containers when the machine does.
    UnlessStopped,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::No => f.write_str("no"),
            Policy::OnFailure(None) => f.write_str("on-failure"),
            Policy::OnFailure(Some(most)) => write!(f, "on-failure:{most}"),
            Policy::Always => f.write_str("always"),
            Policy::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "no" => return Ok(Policy::No),
            "on-failure" => return Ok(Policy::OnFailure(None)),
            "always" => return Ok(Policy::Always),
            "unless-stopped" => return Ok(Policy::UnlessStopped),
            _ => {}
        }
        let most = text.strip_prefix("on-failure:");
        match most.and_then(|most| most.parse().ok()) {
            Some(most) if most > 0 => Ok(Policy::OnFailure(Some(most))),
            _ => Err("it is no, on-failure, on-failure:N, always or unless-stopped".to_owned()),
        }
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.to_string()
    }
}

impl TryFrom<String> for Policy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The restarts of one container.
#[derive(Debug)]
pub struct Restarts {
    policy: Policy,
    count: u32,
    pause: Duration,
}

impl Restarts {
    /// There were none yet.
    pub fn new(policy: Policy) -> Self {
        Restarts {
            policy,
            count: 0,
            pause: FIRST_PAUSE,
        }
    }

    /// How long to wait before the container that has ended with `status`, after it `ran` so long,
    /// is started again; none if it isn't. Counts as a restart.
    pub fn next(&mut self, status: i32, ran: Duration) -> Option<Duration> {
        let again = match self.policy {
            Policy::No => false,
            Policy::OnFailure(most) => status != 0 && most.is_none_or(|most| self.count < most),
            Policy::Always | Policy::UnlessStopped => true,
        };
        if !again {
            return None;
        }
        if ran >= SETTLED {
            self.pause = FIRST_PAUSE;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        self.count += 1;
        Some(pause)
    }

    /// How many there were, with the one that is being waited for.
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// Whether this signal is meant to end a container, so that whoever sends it doesn't want to see it
/// started again.
pub fn is_meant_to_end(signal: i32) -> bool {
    [libc::SIGTERM, libc::SIGKILL, libc::SIGINT, libc::SIGQUIT].contains(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn policies_are_read_as_they_are_written() {
        for text in [
            "no",
            "on-failure",
            "on-failure:3",
            "always",
            "unless-stopped",
        ] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "never",
            "on-failure:",
            "on-failure:0",
            "on-failure:-1",
            "always:3",
        ] {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_is_short_again_after_a_long_run() {
        let mut restarts = Restarts::new(Policy::Always);
        let mut pauses = (0..12).map(|_| restarts.next(0, SHORT).unwrap().as_millis());
        let expected = [
            100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000,
        ];
        assert!(pauses.by_ref().eq(expected));
        assert_eq!(restarts.next(0, SETTLED), Some(FIRST_PAUSE));
        assert_eq!(restarts.count(), 13);
    }

    #[test]
    fn failures_are_counted() {
        let mut restarts = Restarts::new(Policy::OnFailure(Some(2)));
        assert!(restarts.next(1, SHORT).is_some());
        assert!(restarts.next(137, SHORT).is_some());
        assert_eq!(restarts.next(1, SHORT), None);
        assert_eq!(Restarts::new(Policy::OnFailure(None)).next(0, SHORT), None);
        assert_eq!(Restarts::new(Policy::No).next(1, SHORT), None);
    }
}
