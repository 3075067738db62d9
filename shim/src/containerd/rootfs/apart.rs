//! Mounting in a process of its own: the program that serves a file system may take its time, and
//! the other containers of a pod, which the shim serves as well, don't wait for it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, pidfd_open,
    pidfd_send_signal, set_parent_process_death_signal, waitid, waitpid,
};

use crate::containerd::messages::task::Mount;
use crate::sys::{Forked, close_inherited_descriptors, fork, leave};

/// What the process says when all is mounted; else it says why not.
const MOUNTED: &str = "mounted";

/// Mounts that are on their way.
#[derive(Debug)]
pub struct Mounting {
    process: OwnedFd,
    word: OwnedFd,
}

impl Mounting {
    /// Starts a process that does what [`super::mount`] does.
    pub fn begin(mounts: &[Mount], rootfs: &Path) -> Result<Self> {
        let (word, tell) = pipe_with(PipeFlags::CLOEXEC).context("pipe2")?;
        match fork().context("fork")? {
            Forked::Child => {
                let outcome = in_child(&tell, mounts, rootfs);
                let word = outcome.map_or_else(|error| format!("{error:#}"), |()| MOUNTED.into());
                let told = std::io::stdout().write_all(word.as_bytes());
                let told = told.and_then(|()| std::io::stdout().flush());
                leave(i32::from(told.is_err()))
            }
            Forked::Parent(pid) => {
                let process = pidfd_open(pid, PidfdFlags::empty())
                    .inspect_err(|_| end(pid))
                    .with_context(|| format!("pidfd_open({pid})"))?;
                Ok(Mounting { process, word })
            }
        }
    }

    /// Becomes readable when it is time for [`Mounting::conclude`].
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.word.as_fd()
    }

    /// Ends it. What is mounted by then stays.
    pub fn give_up(&self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }

    /// How it went. After an error something may be left mounted, if the process was killed.
    pub fn conclude(self) -> Result<()> {
        let mut word = String::new();
        let read = File::from(self.word).read_to_string(&mut word);
        let _ = waitid(WaitId::PidFd(self.process.as_fd()), WaitIdOptions::EXITED);
        read.context("read(the word of the process that mounts)")?;
        match word.as_str() {
            MOUNTED => Ok(()),
            "" => bail!("mounting the root file system was cut off"),
            why => Err(anyhow!(why.to_owned())),
        }
    }
}

/// Holds nothing of what the shim has open: not the ends of other containers' streams.
fn in_child(tell: &OwnedFd, mounts: &[Mount], rootfs: &Path) -> Result<()> {
    rustix::stdio::dup2_stdout(tell).context("dup2")?;
    close_inherited_descriptors().context("close_range(3, ~0)")?;
    // Whoever cleans up after a killed shim must not find something mounted after that.
    set_parent_process_death_signal(Some(Signal::KILL)).context("prctl(PR_SET_PDEATHSIG)")?;
    super::mount(mounts, rootfs)
}

fn end(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
    let _ = waitpid(Some(pid), WaitOptions::empty());
}
