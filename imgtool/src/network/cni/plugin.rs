//! One call of one plugin: its words in the environment, JSON in and JSON out (CNI, section 2).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde_json::Value;

use super::plugin_path::{PROGRAMS, PluginPath};
use super::result::Refusal;
use crate::sys::signal;

/// How long a plugin may take; those that ask a DHCP server take some ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer.
const LONGEST_ANSWER: u64 = 1 << 20;

/// What a plugin is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Attach the container.
    Add,
    /// Undo that, as much as there is of it.
    Del,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Verb::Add => "ADD",
            Verb::Del => "DEL",
        }
    }
}

/// What is attached to a network.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The container's id, as plugins know it.
    pub container: String,
    /// The path of its network namespace; none if that is gone.
    pub namespace: Option<String>,
    /// The name of the interface in there.
    pub interface: String,
}

/// Calls a plugin and returns its answer, `Value::Null` if it gave none.
pub fn call(
    program: &str,
    verb: Verb,
    endpoint: &Endpoint,
    request: &Value,
    path: &PluginPath,
) -> Result<Value> {
    let executable = path.find(program)?;
    let context = || format!("CNI plugin '{program}', {}", verb.name());
    // Files, not pipes: nobody has to read while others write, and what a plugin leaves running
    // holds nobody up.
    let mut input = memory_file()?;
    input.write_all(&serde_json::to_vec(request)?)?;
    input.seek(SeekFrom::Start(0))?;
    let (output, messages) = (memory_file()?, memory_file()?);
    let mut child = Command::new(&executable)
        .env_clear()
        .env("PATH", PROGRAMS)
        .env("CNI_COMMAND", verb.name())
        .env("CNI_CONTAINERID", &endpoint.container)
        .env("CNI_NETNS", endpoint.namespace.as_deref().unwrap_or(""))
        .env("CNI_IFNAME", &endpoint.interface)
        .env("CNI_PATH", path.to_variable())
        .current_dir("/")
        // What it calls (iptables, the plugin that gives out addresses) is ended with it.
        .process_group(0)
        .stdin(Stdio::from(input))
        .stdout(output.try_clone()?)
        .stderr(messages.try_clone()?)
        .spawn()
        .with_context(|| format!("execute {}", executable.display()))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.context("a child without a pid")?;
    if let Err(error) = wait_for(pid, verb) {
        // They have ended, or this ends them.
        let _ = kill_process_group(pid, Signal::KILL);
        child.wait().with_context(context)?;
        return Err(error).with_context(context);
    }
    let status = child.wait().with_context(context)?;
    let answer = text(output)?;
    if status.success() {
        if answer.trim().is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_str(&answer)
            .with_context(|| format!("{}: its answer is not JSON", context()));
    }
    let refusal: Option<Refusal> = serde_json::from_str(&answer).ok();
    let reason = match refusal {
        Some(refusal) if !refusal.msg.is_empty() => {
            let details = Some(refusal.details).filter(|details| !details.is_empty());
            let details = details.map_or_else(String::new, |details| format!(" ({details})"));
            format!("{}{details}", refusal.msg)
        }
        // A plugin that died, or that is no plugin.
        _ => format!("{status}: {}", last_line(&text(messages)?)),
    };
    bail!("{}: {}{}", context(), reason.trim(), advice(&reason))
}

/// What would mend it, where the plugin doesn't say.
fn advice(reason: &str) -> &'static str {
    if reason.contains("iptables") {
        ": the plugins need a working iptables: the package, and a kernel with nf_tables or \
         ip_tables and its nat table"
    } else {
        ""
    }
}

fn memory_file() -> Result<File> {
    let file = rustix::fs::memfd_create("cni", MemfdFlags::CLOEXEC).context("memfd_create")?;
    Ok(file.into())
}

fn text(mut file: File) -> Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(LONGEST_ANSWER).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_line(text: &str) -> &str {
    let line = text.trim().lines().next_back();
    line.unwrap_or("it says nothing")
}

/// How long a signal may go unnoticed: it can come just before we wait, or to another thread.
const BETWEEN_CHECKS: Duration = Duration::from_millis(200);

/// Waits for its end, a signal that asks us to stop, or the end of our patience.
fn wait_for(pid: Pid, verb: Verb) -> Result<()> {
    // One that came before doesn't keep us from undoing what it broke off.
    let known = match verb {
        Verb::Add => None,
        Verb::Del => signal::check().err(),
    };
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open")?;
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no answer within {} s; killed", PATIENCE.as_secs());
        }
        let timeout = Timespec::try_from(left.min(BETWEEN_CHECKS))?;
        let mut ends = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut ends, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno).context("poll a plugin's pidfd"),
        }
        match signal::check() {
            Err(signal) if known != Some(signal) => return Err(signal.into()),
            _ => {}
        }
    }
}
