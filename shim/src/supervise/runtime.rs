//! The runtime, driven through nothing but its public command line (runc's: `create`, `start`,
//! `kill`, `delete`, `state` …), so that any OCI runtime will do.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::call::{self, Call, Failure, Said};
use crate::sys::Program;

/// How long `delete` and `kill` may take before we give them up: nothing can be done for a
/// container whose runtime hangs, but its exit status must not wait for ever.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Which runtime, and what goes before the verb.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Runtime {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// `--root`: where the runtime keeps its own state; its default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Further global options, as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

impl Runtime {
    /// `kill ID SIGNAL`, the signal as a number or as a name; waits for it.
    pub fn kill(&self, id: &str, signal: &str) -> Result<Said, Failure> {
        self.wait_for("kill", &[OsStr::new(id), OsStr::new(signal)], false)
    }

    /// `delete [--force] ID`; waits for it.
    pub fn delete(&self, id: &str, force: bool) -> Result<Said, Failure> {
        self.delete_within(PATIENCE, id, force)
    }

    /// The same with less patience.
    pub fn delete_within(
        &self,
        patience: Duration,
        id: &str,
        force: bool,
    ) -> Result<Said, Failure> {
        let options: &[&OsStr] = if force { &[OsStr::new("--force")] } else { &[] };
        let arguments = [options, &[OsStr::new(id)]].concat();
        self.call("delete", &arguments, false, Some(patience))?
            .wait()
    }

    /// `state ID`: what the runtime knows of the container; none if it knows no such container.
    /// Waits for it.
    pub fn state(&self, id: &str) -> Result<Option<ContainerState>> {
        match self.wait_for("state", &[OsStr::new(id)], true) {
            Ok(said) => ContainerState::parse(&said.output)
                .map(Some)
                .with_context(|| format!("what {} state {id} printed", self.program.display())),
            Err(failure) if failure.killed => bail!(failure.message),
            Err(_) => Ok(None),
        }
    }

    fn wait_for(
        &self,
        verb: &str,
        arguments: &[&OsStr],
        wants_output: bool,
    ) -> Result<Said, Failure> {
        self.call(verb, arguments, wants_output, Some(PATIENCE))?
            .wait()
    }

    /// Starts a verb whose standard streams are none of the container's.
    pub(super) fn call(
        &self,
        verb: &str,
        arguments: &[&OsStr],
        wants_output: bool,
        patience: Option<Duration>,
    ) -> Result<Call, Failure> {
        let mut command = self.command(verb);
        command.args(arguments);
        let ears = call::quiet(&mut command, wants_output).map_err(|error| Failure {
            message: format!("running {}: {error:#}", self.called(verb)),
            killed: false,
        })?;
        Call::spawn(command, self.called(verb), ears, patience)
    }

    /// The program with the global options and `verb`; its arguments and streams are the caller's.
    pub(super) fn command(&self, verb: &str) -> Program {
        let mut command = Program::new(&self.program);
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        command.args(&self.arguments).arg(verb);
        command
    }

    /// `runc create`: how a call is named in errors.
    pub(super) fn called(&self, verb: &str) -> String {
        format!("{} {verb}", self.name())
    }

    /// The program's file name.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        self.program
            .file_name()
            .unwrap_or(OsStr::new("the runtime"))
            .to_string_lossy()
    }
}

/// The part of a runtime's `state` that matters here (runtime-spec, "State").
#[derive(Debug, serde::Deserialize)]
pub struct ContainerState {
    /// `creating`, `created`, `running`, `paused` or `stopped`.
    pub status: String,
    /// When the container was made, RFC 3339; runc's and crun's addition to the specification.
    pub created: Option<jiff::Timestamp>,
}

impl ContainerState {
    /// What `state` prints.
    pub(super) fn parse(printed: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(printed)
    }
}

/// Finds the runtime: a path as it is, a name on `PATH`; without either the `windlass` beside our
/// own executable, or else on `PATH`.
pub fn find(wanted: Option<&Path>) -> Result<PathBuf> {
    let Some(wanted) = wanted else {
        let own = std::env::current_exe().and_then(std::fs::canonicalize);
        let sibling = own.ok().map(|own| own.with_file_name("windlass"));
        return match sibling.filter(|sibling| is_program(sibling)) {
            Some(sibling) => Ok(sibling),
            None => on_path("windlass".as_ref()).context(
                "no runtime: there is no windlass beside windlass-shim nor on PATH; \
                 name one with --runtime",
            ),
        };
    };
    if wanted.components().count() == 1 && !wanted.is_absolute() {
        return on_path(wanted.as_os_str())
            .with_context(|| format!("no runtime {} on PATH", wanted.display()));
    }
    let path = absolute(wanted)?;
    if !is_program(&path) {
        bail!("the runtime {} is not an executable file", path.display());
    }
    Ok(path)
}

fn on_path(name: &OsStr) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| is_program(candidate))?;
    absolute(&found).ok()
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// `path` seen from `/`, where the supervisor will be; need not exist.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_not_there_is_named() {
        let error = find(Some(Path::new("no-such-runtime")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-such-runtime on PATH"), "{error}");
        let error = find(Some(Path::new("/etc/passwd")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/etc/passwd is not an executable file"),
            "{error}"
        );
    }
}
