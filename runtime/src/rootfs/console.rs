//! The pseudo-terminal of a process (config.md, `process.terminal`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, Uid, fstatfs, open, openat2};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{OptionalActions, OutputModes, Winsize, tcgetattr, tcsetattr};

use super::{RootFd, Wanted, attach, clone_tree};
use crate::error::{CallContext, Error, Result};
use crate::plan::ConsoleStep;

/// `DEVPTS_SUPER_MAGIC` (include/uapi/linux/magic.h).
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Both ends of a pseudo-terminal. The process' end was got from the other end itself
/// (`TIOCGPTPEER`, Linux 4.13), so nobody who changes /dev/pts can put something else in its place
/// (CVE-2025-52565).
#[derive(Debug)]
pub struct Console {
    /// For whoever supervises the process.
    pub master: OwnedFd,
    /// For the process.
    pub peer: OwnedFd,
}

impl Console {
    /// Opens one in the container's own devpts, or in the host's when the container has none.
    ///
    /// # Errors
    /// With the call.
    pub fn in_rootfs(root: &RootFd, step: &ConsoleStep) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let console = match root.open_beneath("/dev/pts/ptmx", flags, ResolveFlags::NO_SYMLINKS) {
            Ok(master) => Console::from_master(master, step)?,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let master = open("/dev/ptmx", flags | OFlags::CLOEXEC, Mode::empty())
                    .call(|| "open(/dev/ptmx)")?;
                Console::from_master(master, step)?
            }
            Err(errno) => return Err(Error::call("openat2(rootfs, \"/dev/pts/ptmx\")", errno)),
        };
        if step.device {
            let target = root.mount_point("/dev/console", Wanted::File)?;
            let device = clone_tree(console.peer.as_fd(), false)
                .call(|| "open_tree(pty, OPEN_TREE_CLONE)")?;
            attach(device.as_fd(), target.as_fd()).call(|| "move_mount(/dev/console)")?;
        }
        Ok(console)
    }

    /// Opens one from inside the container, whose root is `/` already.
    ///
    /// # Errors
    /// With the call.
    pub fn inside(step: &ConsoleStep) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let master = openat2(
            rustix::fs::CWD,
            "/dev/pts/ptmx",
            flags,
            Mode::empty(),
            resolve,
        )
        .call(|| "openat2(/dev/pts/ptmx)")?;
        Console::from_master(master, step)
    }

    fn from_master(master: OwnedFd, step: &ConsoleStep) -> Result<Self> {
        #[allow(clippy::useless_conversion)] // the field's type differs between architectures
        let magic = i64::from(fstatfs(&master).call(|| "fstatfs(ptmx)")?.f_type);
        if magic != DEVPTS_MAGIC {
            return Err(Error::new("/dev/pts/ptmx is not on a devpts")
                .hint("mount a devpts on /dev/pts, or set process.terminal to false"));
        }
        unlockpt(&master).call(|| "ioctl(ptmx, TIOCSPTLCK)")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let peer = ioctl_tiocgptpeer(&master, flags).call(|| "ioctl(ptmx, TIOCGPTPEER)")?;
        if let Some((rows, columns)) = step.size {
            let size = Winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            rustix::termios::tcsetwinsize(&peer, size).call(|| "ioctl(pty, TIOCSWINSZ)")?;
        }
        // The group stays what the mount option gid= of devpts made it: tty.
        rustix::fs::fchown(&peer, Some(Uid::from_raw(step.uid)), None)
            .call(|| format!("fchown(pty, {})", step.uid))?;
        Ok(Console { master, peer })
    }

    /// Leaves line feeds as they are (`ONLCR`, termios(3)), for a caller that copies the output to
    /// where it wants none returned, or to a terminal that does so itself.
    ///
    /// # Errors
    /// With the call.
    pub fn keep_line_feeds(&self) -> Result<()> {
        let mut settings = tcgetattr(&self.peer).call(|| "ioctl(pty, TCGETS)")?;
        settings.output_modes.remove(OutputModes::ONLCR);
        tcsetattr(&self.peer, OptionalActions::Now, &settings).call(|| "ioctl(pty, TCSETS)")
    }

    /// Makes it the controlling terminal of this session, and its standard streams.
    ///
    /// # Errors
    /// With the call.
    pub fn adopt(self) -> Result<OwnedFd> {
        rustix::process::ioctl_tiocsctty(&self.peer).call(|| "ioctl(pty, TIOCSCTTY)")?;
        make_standard_streams(self.peer.as_fd()).call(|| "dup2(pty)")?;
        Ok(self.master)
    }
}

fn make_standard_streams(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::stdio::dup2_stdin(fd)?;
    rustix::stdio::dup2_stdout(fd)?;
    rustix::stdio::dup2_stderr(fd)
}
