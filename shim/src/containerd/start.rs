//! `start`: containerd wants a shim for a container. There is one if the container's pod has one;
//! else this makes one, and ends.
//!
//! Containerd up to 2.2 says what it wants by flags and environment; from 2.3 on by one message on
//! standard input, answered by one on standard output (`docs/runtime-v2.md` in its repository).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use prost::Message;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, WaitOptions, getppid, kill_process, waitpid};
use rustix::thread::{CoreSchedulingScope, create_core_scheduling_cookie};

use super::command_line::CommandLine;
use super::daemon;
use super::messages::bootstrap::{BootstrapParams, BootstrapResult, LogLevel};
use super::messages::runc_options::Options;
use super::messages::well_known::Any;
use super::runtime_choice::{self, called_as};
use super::task_socket::{Claim, TaskSocket};
use crate::cgroup;
use crate::sys::{self, Forked};

/// What standard input may hold, in bytes.
const INPUT_LIMIT: u64 = 10 << 20;
/// Containers of one group share a shim. The first of these annotations that a container has names
/// its group; the order is the stock shim's.
const GROUP_ANNOTATIONS: [&str; 2] = [
    "io.containerd.runc.v2.group",
    "io.kubernetes.cri.sandbox-id",
];
/// The variable by which a shim learns where its events go.
pub const TTRPC_ADDRESS: &str = "TTRPC_ADDRESS";

/// What containerd wants.
#[derive(Debug, PartialEq)]
struct Wish {
    id: String,
    namespace: String,
    debug: bool,
    containerd: String,
    /// Where events go; what our environment says if it doesn't say.
    events: Option<String>,
    socket_directory: Option<String>,
    options: Options,
    language: Language,
}

/// In which form the answer is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    /// The address alone (containerd up to 1.6).
    Address,
    /// A JSON object that names this version of the task service (1.7 to 2.2).
    Json(i32),
    /// A protobuf message (2.3 and later).
    Protobuf,
}

/// Has a shim, and says where it is.
pub fn start(line: CommandLine) -> Result<()> {
    let mut input = Vec::new();
    std::io::stdin()
        .take(INPUT_LIMIT + 1)
        .read_to_end(&mut input)
        .context("reading standard input")?;
    let newest = std::env::var("MAX_SHIM_VERSION").ok();
    let wish = Wish::read(line, &input, newest.as_deref())?;
    let bundle = std::env::current_dir().context("getcwd")?;
    let group = group(&bundle)?.unwrap_or_else(|| wish.id.clone());
    let socket = TaskSocket::of_group(
        wish.socket_directory.as_deref(),
        &wish.containerd,
        &wish.namespace,
        &group,
    );
    socket.write_into(&bundle)?;
    if let Claim::Ours(listener) = socket.claim()? {
        spawn(&wish, listener).inspect_err(|_| {
            // The first error is the one to be told; and since we listen no more, somebody else may.
            let _ = socket.remove_unless_served();
        })?;
    }
    std::io::stdout()
        .write_all(&wish.language.answer(socket.address()))
        .context("writing the answer to standard output")
}

impl Wish {
    fn read(line: CommandLine, input: &[u8], newest: Option<&str>) -> Result<Self> {
        if u64::try_from(input.len()).unwrap_or(u64::MAX) > INPUT_LIMIT {
            bail!("standard input holds more than {INPUT_LIMIT} bytes");
        }
        if let Some(params) = bootstrap_params(&line, input) {
            return Wish::from_params(params);
        }
        let options = match input {
            [] => Options::default(),
            input => {
                let any = Any::decode(input).context(
                    "standard input holds neither bootstrap parameters for this container nor \
                     runtime options",
                )?;
                runtime_choice::options(Some(&any))?
            }
        };
        if line.namespace.is_empty() || line.id.is_empty() {
            bail!("containerd says neither by flags nor on standard input what to start");
        }
        let language = match newest {
            None | Some("") => Language::Address,
            Some(newest) => {
                let newest: i32 = newest
                    .parse()
                    .with_context(|| format!("MAX_SHIM_VERSION={newest}"))?;
                Language::Json(newest.clamp(2, 3))
            }
        };
        Ok(Wish {
            id: line.id,
            namespace: line.namespace,
            debug: line.debug,
            containerd: line.address,
            events: None,
            socket_directory: None,
            options,
            language,
        })
    }

    fn from_params(params: BootstrapParams) -> Result<Self> {
        let extensions = params.extensions.iter();
        let mut extensions = extensions.filter_map(|extension| extension.value.as_ref());
        // Others are settings of parts of containerd that the shim has none of.
        let options = extensions.find(|any| runtime_choice::are_options(any));
        Ok(Wish {
            options: runtime_choice::options(options)?,
            debug: params.log_level <= LogLevel::Debug as i32,
            id: params.instance_id,
            namespace: params.namespace,
            containerd: params.containerd_grpc_address,
            events: Some(params.containerd_ttrpc_address).filter(|events| !events.is_empty()),
            socket_directory: params.socket_dir,
            language: Language::Protobuf,
        })
    }
}

/// Bootstrap parameters, if `input` holds some for the container that the flags name (if they name
/// one). Other messages can be read as if they were such, but would name another.
fn bootstrap_params(line: &CommandLine, input: &[u8]) -> Option<BootstrapParams> {
    let params = BootstrapParams::decode(input).ok()?;
    let agrees = |flag: &str, param: &str| !param.is_empty() && (flag.is_empty() || flag == param);
    (agrees(&line.id, &params.instance_id) && agrees(&line.namespace, &params.namespace))
        .then_some(params)
}

impl Language {
    fn answer(self, address: String) -> Vec<u8> {
        match self {
            Language::Address => address.into_bytes(),
            Language::Json(version) => serde_json::json!({
                "version": version,
                "address": address,
                "protocol": "ttrpc",
            })
            .to_string()
            .into_bytes(),
            Language::Protobuf => BootstrapResult {
                version: 3,
                address,
                protocol: "ttrpc".to_owned(),
                metadata: BTreeMap::new(),
            }
            .encode_to_vec(),
        }
    }
}

/// The group that the container of `bundle` belongs to.
fn group(bundle: &Path) -> Result<Option<String>> {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        annotations: Option<BTreeMap<String, String>>,
    }
    let path = bundle.join("config.json");
    let reading = || format!("reading {}", path.display());
    let text = std::fs::read(&path).with_context(reading)?;
    let config: Config = serde_json::from_slice(&text).with_context(reading)?;
    let annotations = config.annotations.unwrap_or_default();
    let mut groups = GROUP_ANNOTATIONS.iter();
    Ok(groups.find_map(|name| annotations.get(*name)).cloned())
}

/// Leaves a shim running that serves `listener`: a child that goes on from here. To execute the
/// program anew, as the stock shim does, would make every start some 0.4 ms longer.
fn spawn(wish: &Wish, listener: OwnedFd) -> Result<()> {
    if std::env::var_os("SCHED_CORE").is_some_and(|value| !value.is_empty()) {
        // For this process' group: what it starts inherits it.
        create_core_scheduling_cookie(rustix::process::getpid(), CoreSchedulingScope::ProcessGroup)
            .context("prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE)")?;
    }
    let shim = match sys::fork().context("fork")? {
        Forked::Child => sys::leave(i32::from(go_on(wish, listener).is_err())),
        Forked::Parent(shim) => shim,
    };
    let pid = shim.as_raw_nonzero().get().unsigned_abs();
    let placed = match wish.options.shim_cgroup.as_str() {
        "" => Ok(()),
        path => cgroup::join(path, pid).context("ShimCgroup"),
    };
    placed.and_then(|()| raise_oom_score(pid)).inspect_err(|_| {
        let _ = kill_process(shim, Signal::KILL);
        let _ = waitpid(Some(shim), WaitOptions::empty());
    })
}

/// The life of the shim. What goes wrong in it is in its log.
fn go_on(wish: &Wish, listener: OwnedFd) -> Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&listener)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // The shim closes all other descriptors by number: nobody may own one any more.
    let _ = (listener.into_raw_fd(), null.into_raw_fd());
    // A runtime would tell the service manager that all of containerd is ready.
    sys::forget_variable("NOTIFY_SOCKET");
    sys::clean_signals();
    let line = CommandLine {
        debug: wish.debug,
        namespace: wish.namespace.clone(),
        id: wish.id.clone(),
        address: wish.containerd.clone(),
        ..CommandLine::default()
    };
    daemon::serve(&called_as(), line, wish.events.clone())
}

/// When memory is short, a shim goes before containerd, which can go on without it.
fn raise_oom_score(shim: u32) -> Result<()> {
    let containerd = getppid().map_or(1, Pid::as_raw_pid);
    let path = format!("/proc/{containerd}/oom_score_adj");
    let score = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let score: i32 = score
        .trim()
        .parse()
        .with_context(|| format!("{path}: {score:?}"))?;
    let path = format!("/proc/{shim}/oom_score_adj");
    let score = (score + 1).min(1000).to_string();
    std::fs::write(&path, &score).with_context(|| format!("writing {score} to {path}"))
}

#[cfg(test)]
mod tests {
    use super::super::messages::bootstrap::Extension;
    use super::super::messages::pack;
    use super::*;

    fn line() -> CommandLine {
        CommandLine {
            namespace: "k8s.io".to_owned(),
            id: "one".to_owned(),
            address: "/run/c.sock".to_owned(),
            ..CommandLine::default()
        }
    }

    fn options() -> Options {
        Options {
            shim_cgroup: "/pods".to_owned(),
            ..Options::default()
        }
    }

    #[test]
    fn old_containerds_are_answered_as_they_understand() {
        let wish = Wish::read(line(), &[], None).unwrap();
        assert_eq!(wish.language.answer("unix:///a".to_owned()), b"unix:///a");
        let input = pack(&options()).encode_to_vec();
        let wish = Wish::read(line(), &input, Some("2")).unwrap();
        assert_eq!(wish.options, options());
        assert_eq!(wish.events, None);
        let answer = wish.language.answer("unix:///a".to_owned());
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let expected =
            serde_json::json!({"version": 2, "address": "unix:///a", "protocol": "ttrpc"});
        assert_eq!(answer, expected);
    }

    #[test]
    fn the_bootstrap_protocol_is_spoken_with_and_without_flags() {
        let params = BootstrapParams {
            instance_id: "one".to_owned(),
            namespace: "k8s.io".to_owned(),
            log_level: LogLevel::Trace as i32,
            containerd_ttrpc_address: "/run/c.sock.ttrpc".to_owned(),
            containerd_grpc_address: "/run/c.sock".to_owned(),
            extensions: vec![Extension {
                value: Some(pack(&options())),
            }],
            socket_dir: Some("/run/s".to_owned()),
            ..BootstrapParams::default()
        };
        let input = params.encode_to_vec();
        let wish = Wish::read(CommandLine::default(), &input, None).unwrap();
        assert_eq!(wish, Wish::read(line(), &input, Some("2")).unwrap());
        let expected = Wish {
            id: "one".to_owned(),
            namespace: "k8s.io".to_owned(),
            debug: true,
            containerd: "/run/c.sock".to_owned(),
            events: Some("/run/c.sock.ttrpc".to_owned()),
            socket_directory: Some("/run/s".to_owned()),
            options: options(),
            language: Language::Protobuf,
        };
        assert_eq!(wish, expected);
        let answer = wish.language.answer("unix:///a".to_owned());
        let answer = BootstrapResult::decode(answer.as_slice()).unwrap();
        assert_eq!((answer.version, answer.address.as_str()), (3, "unix:///a"));
        assert_eq!(answer.protocol, "ttrpc");
    }

    #[test]
    fn nonsense_is_refused() {
        let error = Wish::read(CommandLine::default(), &[], None).unwrap_err();
        assert!(error.to_string().contains("what to start"), "{error}");
        assert!(Wish::read(line(), &[0xff], None).is_err());
        assert!(Wish::read(line(), &[], Some("x")).is_err());
    }

    #[test]
    fn the_first_group_annotation_counts() {
        let bundle = tempfile::tempdir().unwrap();
        let write = |config: &str| {
            std::fs::write(bundle.path().join("config.json"), config).unwrap();
        };
        write(r#"{"annotations": {"io.kubernetes.cri.sandbox-id": "pod"}}"#);
        assert_eq!(group(bundle.path()).unwrap().as_deref(), Some("pod"));
        write(
            r#"{"annotations": {"io.kubernetes.cri.sandbox-id": "pod",
                "io.containerd.runc.v2.group": "mine"}}"#,
        );
        assert_eq!(group(bundle.path()).unwrap().as_deref(), Some("mine"));
        write("{}");
        assert_eq!(group(bundle.path()).unwrap(), None);
        write("[");
        assert!(group(bundle.path()).is_err());
    }
}
