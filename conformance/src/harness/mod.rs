//! What a case works with: bundles, the runtime's command line, containers that are always
//! deleted, and the host's side of things.

pub mod bundle;
pub mod canary;
pub mod cgroup;
pub mod console;
mod container;
mod host;
pub mod orphans;
mod runtime;
pub mod seccomp_agent;

use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use bundle::Bundle;
use console::ConsoleSocket;
pub use container::Container;
pub use host::Host;
pub use runtime::{Call, Output, wait_for};

use crate::probe::{HookVisit, Mount, Observation};
use crate::verdict::{Stop, Verdict, fail};

/// Everything that one case may use. Each case has its own, with its own directory and its own
/// state directory of the runtime.
#[derive(Debug)]
pub struct Context {
    /// The runtime's program.
    pub runtime: PathBuf,
    /// The case's own directory.
    pub directory: PathBuf,
    /// What goes behind `--root`.
    pub state: PathBuf,
    /// This program, where containers may have it linked from.
    pub probe: PathBuf,
    /// The host's abilities.
    pub host: Host,
    /// No other case uses this word: container ids and cgroups begin with it.
    pub word: String,
    /// Whether very many containers or calls are wanted.
    pub big: bool,
    limit: Duration,
    counter: Cell<u32>,
    calls: RefCell<Vec<String>>,
}

impl Context {
    /// Makes the directories of one case.
    ///
    /// # Errors
    /// Those of making directories.
    pub fn new(
        runtime: PathBuf,
        directory: PathBuf,
        probe: PathBuf,
        word: String,
        limit: Duration,
    ) -> Result<Context, Stop> {
        let state = directory.join("state");
        fs::create_dir_all(&state)?;
        Ok(Context {
            host: Host::default(),
            big: false,
            state,
            directory,
            probe,
            word,
            limit,
            runtime,
            counter: Cell::new(0),
            calls: RefCell::new(Vec::new()),
        })
    }

    /// How long one call of the runtime may take.
    pub fn call_limit(&self) -> Duration {
        // So that a case that hangs in its first call can still say so and clean up.
        self.limit.mul_f32(0.6)
    }

    /// A number that is new in this case.
    pub fn next_number(&self) -> u32 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    /// Keeps a line of the transcript.
    fn note(&self, command: &str, outcome: &str) {
        self.calls
            .borrow_mut()
            .push(format!("{command}   # {outcome}"));
    }

    /// The calls of the runtime so far, one a line.
    pub fn transcript(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    /// A new bundle.
    ///
    /// # Errors
    /// Those of making files.
    pub fn bundle(&self) -> Result<Bundle, Stop> {
        let number = self.next_number();
        let directory = self.directory.join(format!("bundle-{number}"));
        Bundle::new(directory, &self.probe, &format!("/{}/{number}", self.word))
    }

    /// A call of the runtime with these words behind the global options.
    pub fn call(&self, words: &[&str]) -> Call<'_> {
        Call::new(self, words)
    }

    /// A guard for a container id that no other container has.
    ///
    /// # Errors
    /// That of keeping the id on record for the case that this process is killed.
    pub fn container(&self) -> Result<Container<'_>, Stop> {
        let id = format!("{}-{}", self.word, self.next_number());
        let mut record = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join("ids"))?;
        writeln!(record, "{id}")?;
        Ok(Container::guard(self, id))
    }

    /// Writes the bundle's config.json and calls `create` or `run` for a new container, whatever
    /// comes of it.
    ///
    /// # Errors
    /// Those of the harness; the runtime's are in the output.
    pub fn attempt(
        &self,
        verb: &str,
        bundle: &Bundle,
        options: &[&str],
    ) -> Result<(Container<'_>, Output), Stop> {
        bundle.write()?;
        let mut container = self.container()?;
        let directory = bundle.directory.to_string_lossy();
        let mut words = vec!["--bundle", &directory];
        words.extend_from_slice(options);
        let output = container.call(verb, &words, &[])?;
        container.created = Some(output.clone());
        Ok((container, output))
    }

    /// Tries to create a container whose terminal comes to `socket`; if that works, starts it and waits
    /// for its end. Nothing is left of it.
    ///
    /// # Errors
    /// A failure of the runtime once it has created the container.
    pub fn attempt_on_terminal(&self, bundle: &Bundle, socket: &ConsoleSocket) -> Verdict {
        let path = socket.path.to_string_lossy();
        let (container, output) = self.attempt("create", bundle, &["--console-socket", &path])?;
        if output.worked() {
            let (_master, _) = socket.receive()?;
            let pid = container.pid()?;
            container.start()?;
            container.wait(pid)?;
        }
        Ok(())
    }

    /// Creates a container, which must work.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn create(&self, bundle: &Bundle) -> Result<Container<'_>, Stop> {
        let (container, output) = self.attempt("create", bundle, &[])?;
        output.must_work()?;
        Ok(container)
    }

    /// Creates and starts a container whose process waits for signals.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn started(&self, mut bundle: Bundle) -> Result<Container<'_>, Stop> {
        bundle.set_probe(&["wait", "/tmp/ready"]);
        let container = self.create(&bundle)?;
        container.start()?;
        // Only now does the program take signals: start may return before the program runs.
        wait_for_text(&bundle.rootfs().join("tmp/ready"), |_| true)?;
        Ok(container)
    }

    /// Runs the probe in the bundle as it is in the foreground, asks it these questions, and
    /// returns what it saw.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn see(&self, mut bundle: Bundle, questions: &[&str]) -> Result<Observation, Stop> {
        let mut words = vec!["see"];
        words.extend_from_slice(questions);
        bundle.set_probe(&words);
        let (mut container, output) = self.attempt("run", &bundle, &[])?;
        let output = output.must_work()?;
        container.gone();
        observation(&output)
    }

    /// As [`Context::see`] with a new bundle that `change` has changed.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn see_with(
        &self,
        questions: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Result<Observation, Stop> {
        let mut bundle = self.bundle()?;
        change(&mut bundle.config);
        self.see(bundle, questions)
    }

    /// Demands that `create` refuses the bundle: non-zero, a message, and no container.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn must_refuse(&self, bundle: &Bundle) -> Result<Output, Stop> {
        let (container, output) = self.attempt("create", bundle, &[])?;
        let output = output.must_fail()?;
        if output.stderr().trim().is_empty() {
            return fail(format_args!(
                "{}: no message on standard error",
                output.command
            ));
        }
        if container.call("state", &[], &[])?.worked() {
            return fail(format_args!(
                "{}: failed and left a container",
                output.command
            ));
        }
        Ok(output)
    }

    /// As [`Context::must_refuse`] with a new bundle that `change` has changed.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn must_refuse_with(&self, change: impl FnOnce(&mut Value)) -> Result<Output, Stop> {
        let mut bundle = self.bundle()?;
        bundle.set_probe(&["wait"]);
        change(&mut bundle.config);
        self.must_refuse(&bundle)
    }

    /// Demands that nothing of a container is left: state directory, mounts, cgroups.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn nothing_left(&self, id: &str) -> Verdict {
        if self.state.join(id).exists() {
            return fail(format_args!("{} is left", self.state.join(id).display()));
        }
        let below = self.directory.to_string_lossy().into_owned();
        if let Some(mount) = mounts()
            .iter()
            .find(|mount| mount.point.starts_with(&below))
        {
            return fail(format_args!("a mount is left at {}", mount.point));
        }
        for top in cgroup::left_behind(&self.word) {
            for entry in fs::read_dir(&top)?.flatten() {
                if entry.file_type()?.is_dir() {
                    return fail(format_args!("a cgroup is left: {}", entry.path().display()));
                }
            }
        }
        Ok(())
    }
}

/// What the hooks of a case have written to a file, in order; nothing when there is no such file.
///
/// # Errors
/// The file holds something else.
pub fn visits(file: &Path) -> Result<Vec<HookVisit>, Stop> {
    let text = fs::read_to_string(file).unwrap_or_default();
    Ok(text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

/// Reads what the probe printed.
///
/// # Errors
/// A failure of the runtime: the probe's output did not come through.
pub fn observation(output: &Output) -> Result<Observation, Stop> {
    let text = output.stdout();
    text.lines()
        .find(|line| line.starts_with('{'))
        .and_then(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| Stop::Failed(format!("{}: the probe's output is missing", output.command)))
}

/// The mounts that this process sees.
pub fn mounts() -> Vec<Mount> {
    Mount::parse_all(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// Waits until a file that a program in a container writes is there and `enough`.
///
/// # Errors
/// A failure of the runtime when that does not come within 5 s.
pub fn wait_for_text(file: &Path, enough: impl Fn(&str) -> bool) -> Result<String, Stop> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let text = fs::read_to_string(file);
        match text {
            Ok(text) if enough(&text) => return Ok(text),
            _ if Instant::now() > deadline => {
                return fail(format_args!(
                    "{} did not come as awaited: {text:?}",
                    file.display()
                ));
            }
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
