//! The pipes that conmon's caller leaves open for it and names in its environment.
//!
//! Through `_OCI_SYNCPIPE` the caller hears of the process id and, with `--exec`, of the exit status;
//! through `_OCI_ATTACHPIPE` that an exec session can be attached to; through `_OCI_STARTPIPE` it
//! says when to begin. What is said is one line of JSON: `{"data": NUMBER, "message": "WORDS"}`, the
//! message only if there is one. Before API version 1, `data` was called `pid` or `exit_code`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::{FdFlags, fcntl_setfd};

/// Descriptors that our caller has left open, by their numbers.
pub type Inherited = BTreeMap<i32, OwnedFd>;

/// Takes the descriptor that the environment variable `name` names. From now on nobody we start
/// gets it.
pub fn take(name: &str, inherited: &mut Inherited) -> Result<Option<OwnedFd>> {
    let Ok(number) = std::env::var(name) else {
        return Ok(None);
    };
    let pipe = number
        .trim_start()
        .parse()
        .ok()
        .and_then(|number: i32| inherited.remove(&number))
        .with_context(|| {
            format!("unable to parse {name}: {number:?} is not the number of an open descriptor")
        })?;
    fcntl_setfd(&pipe, FdFlags::CLOEXEC)
        .with_context(|| format!("unable to make {name} CLOEXEC"))?;
    Ok(Some(pipe))
}

/// A pipe to the caller. One that isn't there, or that nobody reads, swallows what is said.
#[derive(Debug)]
pub struct ParentPipe {
    pipe: Option<File>,
    key: &'static str,
}

impl ParentPipe {
    /// Speaks into `pipe`, calling the number `key`.
    pub fn new(pipe: Option<OwnedFd>, key: &'static str) -> Self {
        ParentPipe {
            pipe: pipe.map(File::from),
            key,
        }
    }

    /// Says a number, and why if `message` isn't empty.
    pub fn say(&mut self, number: i32, message: &str) {
        let Some(pipe) = &mut self.pipe else {
            return;
        };
        let line = line(self.key, number, message);
        if pipe.write_all(line.as_bytes()).is_err() {
            // EPIPE: nobody listens any more.
            self.pipe = None;
        }
    }
}

fn line(key: &str, number: i32, message: &str) -> String {
    if message.is_empty() {
        format!("{{\"{key}\": {number}}}\n")
    } else {
        let message = serde_json::Value::from(message);
        format!("{{\"{key}\": {number}, \"message\": {message}}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_whatever_the_message() {
        assert_eq!(line("data", -1, ""), "{\"data\": -1}\n");
        let odd = "a \"b\"\\\n\u{1}é";
        let said = line("pid", 7, odd);
        assert!(said.starts_with("{\"pid\": 7, \"message\": \"a "));
        assert!(said.ends_with("}\n") && said.lines().count() == 1);
        let read: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(read["message"], odd);
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_forgotten() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut pipe = ParentPipe::new(Some(writer.into()), "data");
        drop(reader);
        pipe.say(1, "");
        assert!(pipe.pipe.is_none());
    }
}
