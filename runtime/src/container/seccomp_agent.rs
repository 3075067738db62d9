//! The seccomp agent: who answers for `SCMP_ACT_NOTIFY` is handed the filter's listener, with word
//! of the process that it stands for (config-linux.md, "The Container Process State").

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde::Serialize;

use super::conduct::Newborn;
use super::hook_state::State;
use crate::error::{CallContext, Error, Result};
use crate::init::channel::send_descriptor;
use crate::plan::SeccompAgent;
use crate::unix_socket::{address, connect_stream};

/// The version of runtime-spec whose process state this is.
const SPEC_VERSION: &str = "1.3.0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'static str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: State<'a>,
}

/// Hands the listener of a child's filter to the agent; `state` is its container's. It is fetched
/// from the child, which can't send it: its filter may ask the agent about sendmsg(2).
///
/// # Errors
/// When the agent can't be reached, with its socket.
pub(super) fn introduce(
    agent: &SeccompAgent<'_>,
    newborn: &Newborn,
    state: State<'_>,
) -> Result<()> {
    let listener = listener_of(newborn)?;
    let state = serde_json::to_string(&ContainerProcessState {
        oci_version: SPEC_VERSION,
        fds: ["seccompFd"],
        pid: newborn.pid.as_raw_nonzero().get(),
        metadata: agent.metadata.filter(|metadata| !metadata.is_empty()),
        state,
    })
    .map_err(|error| Error::new(format!("the container process state as JSON: {error}")))?;

    let socket = address(agent.socket.as_ref())
        .and_then(|address| connect_stream(&address))
        .map_err(|errno| {
            Error::call(format!("connect({:?})", agent.socket), errno)
                .context("failed to connect with seccomp agent specified in the seccomp profile")
        })?;
    send_descriptor(&socket, &state, listener.as_fd())
        .call(|| format!("sendmsg({:?}, seccompFd)", agent.socket))
        .map_err(|error| error.context("cannot send seccomp fd to the seccomp agent"))
}

fn listener_of(newborn: &Newborn) -> Result<OwnedFd> {
    let number = newborn
        .seccomp_listener
        .get()
        .ok_or_else(|| Error::new("init has installed no filter with a listener"))?;
    pidfd_getfd(newborn.pidfd.as_fd(), number, PidfdGetfdFlags::empty())
        .call(|| format!("pidfd_getfd(init, {number})"))
        .map_err(|error| match error.errno() {
            Some(Errno::NOSYS) => error.hint("SCMP_ACT_NOTIFY takes Linux 5.6"),
            _ => error,
        })
}
