//! Calling the runtime: one command line, with a time limit, its output in files.
//!
//! Output goes to files and not to pipes, since a container that outlives the call keeps them open.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Context;
use crate::sys;
use crate::verdict::Stop;

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line, as a person would type it.
    pub command: String,
    /// Exit status as a shell says it: 128 + N for a death by signal N.
    pub status: i32,
    /// Where standard output went; a container that goes on may still write there.
    pub stdout_file: PathBuf,
    /// Where standard error went.
    pub stderr_file: PathBuf,
}

impl Output {
    /// What stands on standard output by now.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout_file)
    }

    /// What stands on standard error by now.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr_file)
    }

    /// Whether the exit status is 0.
    pub fn worked(&self) -> bool {
        self.status == 0
    }

    /// Fails the case unless the exit status is 0.
    ///
    /// # Errors
    /// A failure of the runtime, with what it said.
    pub fn must_work(self) -> Result<Output, Stop> {
        if self.worked() {
            Ok(self)
        } else {
            Err(Stop::Failed(self.description()))
        }
    }

    /// Fails the case if the exit status is 0.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn must_fail(self) -> Result<Output, Stop> {
        if self.worked() {
            Err(Stop::Failed(format!(
                "{}: exit status 0, where an error is due",
                self.command
            )))
        } else {
            Ok(self)
        }
    }

    /// The command, its status, and the last lines of what it wrote on standard error.
    pub fn description(&self) -> String {
        let stderr = self.stderr();
        let lines: Vec<&str> = stderr
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = &lines[lines.len().saturating_sub(4)..];
        let said = if last.is_empty() {
            "(nothing)".to_owned()
        } else {
            last.join(" | ")
        };
        format!(
            "{}: exit status {}, stderr: {said}",
            self.command, self.status
        )
    }
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// A call of the runtime that is still to be made.
#[derive(Debug)]
pub struct Call<'a> {
    context: &'a Context,
    root: PathBuf,
    global: Vec<OsString>,
    words: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(String, String)>,
    descriptors: Vec<(OwnedFd, RawFd)>,
    terminal: Option<OwnedFd>,
    tracer: Vec<OsString>,
    user: Option<u32>,
}

impl<'a> Call<'a> {
    /// A call with the words behind the global options: verb, options, container id.
    pub fn new(context: &'a Context, words: &[&str]) -> Self {
        Call {
            context,
            root: context.state.clone(),
            global: Vec::new(),
            words: words.iter().map(OsString::from).collect(),
            directory: None,
            environment: Vec::new(),
            descriptors: Vec::new(),
            terminal: None,
            tracer: Vec::new(),
            user: None,
        }
    }

    /// Adds words at the end.
    pub fn words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(OsString::from));
        self
    }

    /// Uses another state directory than the case's own.
    pub fn root(mut self, root: &Path) -> Self {
        root.clone_into(&mut self.root);
        self
    }

    /// Adds global options, before the verb.
    pub fn global(mut self, words: &[&str]) -> Self {
        self.global.extend(words.iter().map(OsString::from));
        self
    }

    /// Sets the working directory of the runtime.
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Sets an environment variable of the runtime.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the runtime an open descriptor with this number.
    pub fn descriptor(mut self, descriptor: impl Into<OwnedFd>, number: RawFd) -> Self {
        self.descriptors.push((descriptor.into(), number));
        self
    }

    /// Runs it in a session of its own, with this terminal as standard streams.
    pub fn terminal(mut self, terminal: impl Into<OwnedFd>) -> Self {
        self.terminal = Some(terminal.into());
        self
    }

    /// Makes the call as a user without rights, and in its group alone.
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Has this program follow the call, with these words of its verb `tracer`.
    pub fn tracer(mut self, words: &[&str]) -> Self {
        self.tracer = words.iter().map(OsString::from).collect();
        self
    }

    /// Makes the call and waits for its end.
    ///
    /// # Errors
    /// A failure of the runtime when it does not end in time; else those of starting it.
    pub fn run(self) -> Result<Output, Stop> {
        self.spawn()?.wait()
    }

    /// Makes the call and goes on.
    ///
    /// # Errors
    /// Those of starting the runtime.
    pub fn spawn(self) -> Result<Running<'a>, Stop> {
        let context = self.context;
        let number = context.next_number();
        let stdout_file = context.directory.join(format!("{number}.stdout"));
        let stderr_file = context.directory.join(format!("{number}.stderr"));
        let mut command = if self.tracer.is_empty() {
            Command::new(&context.runtime)
        } else {
            // The probe is this program, under a name that can be typed again.
            let mut command = Command::new(&context.probe);
            command
                .arg("tracer")
                .args(&self.tracer)
                .arg(&context.runtime);
            command
        };
        command
            .arg("--root")
            .arg(&self.root)
            .args(&self.global)
            .args(&self.words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        let line = shell_line(&command, self.directory.as_deref(), &self.environment);
        if let Some(terminal) = self.terminal {
            command
                .stdin(terminal.try_clone()?)
                .stdout(terminal.try_clone()?)
                .stderr(terminal);
            sys::in_own_session(&mut command);
        } else {
            command.stdin(Stdio::null());
            command
                .stdout(File::create(&stdout_file)?)
                .stderr(File::create(&stderr_file)?);
        }
        if !self.descriptors.is_empty() {
            sys::with_descriptors(&mut command, self.descriptors);
        }
        let child = command
            .spawn()
            .map_err(|error| Stop::Broken(format!("{}: {error}", context.runtime.display())))?;
        Ok(Running {
            context,
            child,
            line,
            stdout_file,
            stderr_file,
        })
    }
}

fn shell_line(
    command: &Command,
    directory: Option<&Path>,
    environment: &[(String, String)],
) -> String {
    let mut line = String::new();
    if let Some(directory) = directory {
        line = format!("cd {} && ", directory.display());
    }
    for (name, value) in environment {
        line = format!("{line}{name}={} ", quote(value));
    }
    line += &quote(&command.get_program().to_string_lossy());
    for word in command.get_args() {
        line.push(' ');
        line += &quote(&word.to_string_lossy());
    }
    line
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A call that has not ended, or whose end nobody has asked for yet.
#[derive(Debug)]
pub struct Running<'a> {
    context: &'a Context,
    child: Child,
    line: String,
    stdout_file: PathBuf,
    stderr_file: PathBuf,
}

impl Running<'_> {
    /// Waits until what it has written to standard output is `enough`.
    ///
    /// # Errors
    /// A failure of the runtime when that does not come within 5 s.
    pub fn wait_for_output(&self, enough: impl Fn(&str) -> bool) -> Result<String, Stop> {
        super::wait_for_text(&self.stdout_file, enough)
    }

    /// The process of the runtime.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// That of waitpid(2).
    pub fn has_ended(&mut self) -> Result<bool, Stop> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for the runtime's end.
    ///
    /// # Errors
    /// A failure of the runtime when it does not end in time.
    pub fn wait(mut self) -> Result<Output, Stop> {
        let limit = self.context.call_limit();
        let status = wait_for(&mut self.child, limit)?;
        let Some(status) = status else {
            self.child.kill()?;
            self.child.wait()?;
            self.context.note(&self.line, "killed: too slow");
            return Err(Stop::Failed(format!(
                "{}: did not end within {:.0} s",
                self.line,
                limit.as_secs_f32()
            )));
        };
        let output = Output {
            command: self.line,
            status: shell_status(status),
            stdout_file: self.stdout_file,
            stderr_file: self.stderr_file,
        };
        self.context
            .note(&output.command, &format!("exit status {}", output.status));
        Ok(output)
    }
}

/// The exit status as a shell says it.
pub fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Waits for a child of ours; none when it has not ended in time.
///
/// # Errors
/// Those of pidfd_open(2), poll(2) and waitid(2).
pub fn wait_for(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, Stop> {
    let pid = i32::try_from(child.id())?;
    if !ends_within(pid, limit)? {
        return Ok(None);
    }
    Ok(Some(child.wait()?))
}

/// Waits until a process has ended (a zombie has); false when it has not in time.
///
/// # Errors
/// Those of pidfd_open(2) and poll(2).
pub fn ends_within(pid: i32, limit: Duration) -> Result<bool, Stop> {
    let Some(pid) = Pid::from_raw(pid) else {
        return Err(Stop::Broken("process id 0".to_owned()));
    };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(true),
        other => other?,
    };
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left.min(Duration::from_millis(100)))?;
        let mut watched = [PollFd::new(&handle, PollFlags::IN)];
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) => super::orphans::reap(),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
