//! Keeping a container from changing the runtime's own binary (CVE-2019-5736).
//!
//! Init is this very program until it executes the app, so a container that runs
//! `#!/proc/self/exe`, or opens `/proc/PID/exe` of whoever enters it, gets hold of our file. What it
//! gets hold of must not be writable, by anyone, ever after: so the verbs that enter a container
//! run from a read-only mount that is theirs alone and nowhere mounted
//! (docs/decisions/sealed-binary.md).

use std::ffi::CString;
use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{
    Access, AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, StatxAttributes,
    StatxFlags, accessat, fcntl_add_seals, fcntl_get_seals, memfd_create, open, statvfs, statx,
};
use rustix::mount::OpenTreeFlags;

use crate::error::{CallContext, Error, Result};
use crate::rootfs::mount::readonly_clone;
use crate::sys::exec::{execve_fd, spend};
use crate::sys::{argv, own_image};

const OWN_BINARY: &str = "/proc/self/exe";

/// Makes sure that this program runs from a file that can't be written: goes on from one if it does
/// not, or, where the kernel does not let it, executes itself anew from one. Whether it does is
/// asked of the kernel, not of the environment or the arguments, which a caller could forge.
///
/// `debug` is told how, in words that say which of runc's ways it stands for.
///
/// # Errors
/// When no such file can be made.
pub fn seal_own_binary(debug: impl FnOnce(&str)) -> Result<()> {
    let sealed = match read_only_mount() {
        Ok(mount) => {
            debug(
                "runc exeseal: using /proc/self/exe clone: a read-only mount of this one file, for \
                 what runc calls \"runc exeseal: using overlayfs for sealed /proc/self/exe\"",
            );
            match goes_on_from(mount) {
                Ok(()) => return Ok(()),
                // Executed anew from such a mount already: it can't do better than that.
                Err(_) if is_read_only_mount_of_its_own()? => return Ok(()),
                Err(mount) => mount,
            }
        }
        Err(_) if cannot_be_written() => {
            debug("runc exeseal: using /proc/self/exe clone is needless: nobody here may write it");
            return Ok(());
        }
        Err(_) => {
            debug("runc exeseal: using /proc/self/exe clone: a sealed copy in memory");
            sealed_copy()?
        }
    };
    let arguments = argv::words()
        .iter()
        .map(|argument| CString::new(argument.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::new("an argument contains a NUL byte"))?;
    let env: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend(value.into_vec());
            CString::new(entry).ok()
        })
        .collect();
    let errno = execve_fd(sealed.as_fd(), &arguments, &env);
    Err(Error::call("execveat(sealed copy of this program)", errno))
}

/// Whether the mount that we run from is read-only and of this one file, as the clone is. A read-only
/// /usr is the host's, and may be written again tomorrow. (`STATX_ATTR_MOUNT_ROOT`, Linux 5.8)
fn is_read_only_mount_of_its_own() -> Result<bool> {
    let file_system = statvfs(OWN_BINARY).call(|| format!("statvfs({OWN_BINARY})"))?;
    if !file_system.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(false);
    }
    let own = statx(CWD, OWN_BINARY, AtFlags::empty(), StatxFlags::empty())
        .call(|| format!("statx({OWN_BINARY})"))?;
    Ok(own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Whether we run from a sealed copy already, or as a user who may not write the file and so can't
/// make a container that may.
fn cannot_be_written() -> bool {
    let user = !rustix::process::geteuid().is_root();
    if user && accessat(CWD, OWN_BINARY, Access::WRITE_OK, AtFlags::EACCESS).is_err() {
        return true;
    }
    File::open(OWN_BINARY).is_ok_and(|file| {
        fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE))
    })
}

/// The same file, through a mount of its own that is read-only and attached nowhere: nothing is
/// copied, and the page cache is shared with every other container's.
fn read_only_mount() -> Result<OwnedFd> {
    readonly_clone(CWD, OWN_BINARY, OpenTreeFlags::empty())
}

/// Runs on from the file behind the mount, without a new start, if the kernel lets us: that the old
/// mount is not in use any more is its condition. Else the mount is given back.
fn goes_on_from(mount: OwnedFd) -> Result<(), OwnedFd> {
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let Ok(file) = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return Err(mount);
    };
    if own_image::run_from(file.as_fd(), argv::words().len()).is_err() {
        return Err(mount);
    }
    spend([mount, file]);
    Ok(())
}

/// A copy in memory that can't be written any more, for callers who may not make mounts.
fn sealed_copy() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = memfd_create("windlass", flags).call(|| "memfd_create(windlass)")?;
    let mut copy = File::from(copy);
    let mut binary = File::open(OWN_BINARY).call(|| format!("open({OWN_BINARY})"))?;
    std::io::copy(&mut binary, &mut copy).call(|| "copy of this program to memory")?;
    copy.rewind().call(|| "lseek(memfd)")?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, all).call(|| "fcntl(F_ADD_SEALS)")?;
    Ok(copy.into())
}
