//! What the supervisor has to say, to stderr (as long as that is the caller's) and to syslog.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// How much is said. The names are logrus', which conmon's callers hand through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Only why the supervisor ends.
    Error,
    /// And what is odd.
    #[default]
    Warning,
    /// And what happens to the container.
    Info,
    /// And what is said to the supervisor.
    Debug,
    /// And how the runtime is called.
    Trace,
}

impl Level {
    /// The level of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "error" | "fatal" | "panic" => Level::Error,
            "warn" | "warning" => Level::Warning,
            "info" => Level::Info,
            "debug" => Level::Debug,
            "trace" => Level::Trace,
            _ => return None,
        })
    }

    fn letter(self) -> char {
        match self {
            Level::Error => 'e',
            Level::Warning => 'w',
            Level::Info => 'i',
            Level::Debug | Level::Trace => 'd',
        }
    }

    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "nwarn",
            Level::Info => "ninfo",
            Level::Debug => "ndebug",
            Level::Trace => "ntrace",
        }
    }
}

/// Where messages go.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The least important that is still said.
    pub level: Level,
    /// Say it to syslog, too.
    pub syslog: bool,
    /// Whom it is about: the container's id, and its tag if there is one.
    pub about: String,
}

impl Report {
    /// Says one line.
    pub fn say(&self, level: Level, message: &str) {
        if !self.says(level) {
            return;
        }
        let message = message.trim_end();
        // A caller that no longer reads is no reason to end.
        let _ = writeln!(std::io::stderr(), "[conmon:{}]: {message}", level.letter());
        if self.syslog {
            let about: String = self.about.chars().take(20).collect();
            to_syslog(
                "/dev/log".as_ref(),
                level,
                &format!("conmon {about} <{}>: {message}", level.word()),
            );
        }
    }

    /// Whether what is of this level is said.
    fn says(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Says something odd.
    pub fn warn(&self, message: &str) {
        self.say(Level::Warning, message);
    }
}

/// One message as syslog(3) sends it to `/dev/log`, in the form of RFC 3164, as a user's program.
/// Without a time, so that the daemon takes its own: ours would have to be in the host's zone.
fn to_syslog(place: &Path, level: Level, message: &str) {
    const USER: u32 = 1 << 3;
    let severity = if level == Level::Error { 3 } else { 6 };
    let packet = format!("<{}>conmon: {message}", USER | severity);
    // No syslog is no trouble of the container's.
    if let Ok(socket) = UnixDatagram::unbound()
        && socket.set_nonblocking(true).is_ok()
    {
        let _ = socket.send_to(packet.as_bytes(), place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_says_what_those_before_it_say_and_more() {
        let names = ["error", "warning", "info", "debug", "trace"];
        let levels = names.map(|name| Level::named(name).unwrap());
        for (number, level) in levels.into_iter().enumerate() {
            let report = Report {
                level,
                ..Report::default()
            };
            let said = levels.iter().filter(|other| report.says(**other));
            assert_eq!(said.count(), number + 1);
        }
    }

    #[test]
    fn syslog_is_told_as_syslog_3_tells_it() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("log");
        let syslog = UnixDatagram::bind(&place).unwrap();
        let mut packet = [0; 64];
        for (level, expected) in [
            (Level::Error, "<11>conmon: words"),
            (Level::Warning, "<14>conmon: words"),
        ] {
            to_syslog(&place, level, "words");
            let length = syslog.recv(&mut packet).unwrap();
            assert_eq!(&packet[..length], expected.as_bytes());
        }
        // Nobody there: nothing happens.
        drop(syslog);
        to_syslog(&place, Level::Error, "words");
    }
}
