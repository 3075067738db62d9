//! The host's /proc, held by a descriptor from before the first look at anything of the
//! container's: what is written to /proc is written there, whatever is mounted over the
//! container's own (CVE-2025-52881, CVE-2019-16884).

use std::os::fd::OwnedFd;

use rustix::fs::{Access, AtFlags, Mode, OFlags, ResolveFlags, accessat, open, openat2};
use rustix::io::Errno;

use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::plan::SecurityModule;
use crate::sys::exec::spend;

/// `PROC_SUPER_MAGIC` (include/uapi/linux/magic.h).
const PROC_MAGIC: i64 = 0x9fa0;

/// The host's /proc.
#[derive(Debug, Default)]
pub struct TrustedProc {
    directory: Option<OwnedFd>,
}

impl TrustedProc {
    /// Opens it now: afterwards the mount namespace may change.
    pub(crate) fn hold(&mut self) -> Result<&OwnedFd> {
        if self.directory.is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let proc = open("/proc", flags, Mode::empty()).call(|| "open(/proc)")?;
            #[allow(clippy::useless_conversion)] // the type differs between architectures
            let magic = i64::from(rustix::fs::fstatfs(&proc).call(|| "fstatfs(/proc)")?.f_type);
            if magic != PROC_MAGIC {
                return Err(Error::new("/proc of the host is not a procfs"));
            }
            self.directory = Some(proc);
        }
        self.directory
            .as_ref()
            .ok_or_else(|| Error::new("/proc is not open"))
    }

    /// Gives it up with all else that is spent.
    pub(crate) fn spend(self) {
        spend(self.directory);
    }

    /// Writes proc_pid_oom_score_adj(5) of a process.
    ///
    /// # Errors
    /// As [`TrustedProc::write`].
    pub(crate) fn write_oom_score(&mut self, pid: i32, score: i32) -> Result<()> {
        self.write_oom_score_of(&pid.to_string(), score)
    }

    /// The same of this process.
    ///
    /// # Errors
    /// As [`TrustedProc::write`].
    pub(crate) fn write_own_oom_score(&mut self, score: i32) -> Result<()> {
        self.write_oom_score_of("self", score)
    }

    fn write_oom_score_of(&mut self, process: &str, score: i32) -> Result<()> {
        self.write(&format!("{process}/oom_score_adj"), &score.to_string())
            .map_err(|error| match error.errno() {
                Some(Errno::ACCESS | Errno::PERM) => {
                    error.hint("less than what it was takes CAP_SYS_RESOURCE")
                }
                _ => error,
            })
    }

    /// Writes a value to a file below /proc, in one write. `self` in the path is this process.
    ///
    /// # Errors
    /// With the file, the value and the call.
    pub(crate) fn write(&mut self, path: &str, value: &str) -> Result<()> {
        let proc = self.hold()?;
        // No links but `self`, no mounts on the way: the file is the one that the kernel made.
        let path = match path.strip_prefix("self/") {
            Some(rest) => format!("{}/{rest}", own_directory(proc)?),
            None => path.to_owned(),
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat2(proc, path.as_str(), flags, Mode::empty(), resolve)
            .call(|| format!("open(/proc/{path})"))?;
        rustix::io::write(&file, value.as_bytes())
            .call(|| format!("write(/proc/{path}, {value:?})"))?;
        spend([file]);
        Ok(())
    }

    /// Writes the label to change to at the next execve (aa_change_onexec(2), setexeccon(3)). AppArmor
    /// has a file of its own since Linux 5.8; before, it shared one with the other modules.
    ///
    /// # Errors
    /// As [`TrustedProc::write`].
    pub(crate) fn write_on_exec_label(
        &mut self,
        module: SecurityModule,
        label: &str,
    ) -> Result<()> {
        match module {
            SecurityModule::AppArmor => {
                let value = format!("exec {label}");
                match self.write("self/attr/apparmor/exec", &value) {
                    Err(error)
                        if error.errno() == Some(Errno::NOENT)
                            && !self.has_apparmor_directory() =>
                    {
                        self.write("self/attr/exec", &value)
                    }
                    result => result,
                }
                .context(|| "unable to apply apparmor profile: apparmor failed to apply profile")
            }
            SecurityModule::SeLinux => self
                .write("self/attr/exec", label)
                .context(|| "can't set process label"),
        }
    }

    /// A missing profile is ENOENT, too.
    fn has_apparmor_directory(&self) -> bool {
        self.directory.as_ref().is_some_and(|proc| {
            accessat(proc, "self/attr/apparmor", Access::EXISTS, AtFlags::empty()).is_ok()
        })
    }

    /// Writes the SELinux label of keyrings that are made from here on; an empty one means what
    /// the policy says (`setkeycreatecon(3)`).
    ///
    /// # Errors
    /// As [`TrustedProc::write`].
    pub(crate) fn write_keyring_label(&mut self, label: &str) -> Result<()> {
        self.write("self/attr/keycreate", label)
            .context(|| "can't set the label of the session keyring")
    }
}

/// The pid that this process has in the pid namespace of that procfs.
fn own_directory(proc: &OwnedFd) -> Result<String> {
    let link = rustix::fs::readlinkat(proc, "self", Vec::new()).call(|| "readlink(/proc/self)")?;
    Ok(link.to_string_lossy().into_owned())
}
