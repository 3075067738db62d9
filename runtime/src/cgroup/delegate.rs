//! Giving a container's cgroup to the user who runs it (cgroup-v2.rst, "Delegation").

use rustix::fs::{AtFlags, Mode, OFlags, Uid, chownat, openat};
use rustix::io::Errno;

use super::files;
use super::placement::Placement;
use crate::error::{CallContext as _, Result};

/// What the kernel says may be given away (Linux 4.15).
const DELEGATE: &str = "/sys/kernel/cgroup/delegate";

impl Placement {
    /// Gives the cgroup of version 2, where it is the only one, to the user `owner` of the host:
    /// the directory, and the files that the kernel names. Limits stay ours. Without root's rights
    /// there is nothing to give away.
    ///
    /// # Errors
    /// chown(2)'s, with the file.
    pub fn delegate(&self, owner: u32) -> Result<()> {
        let Some(place) = self.v2().filter(|_| self.layout_is_v2()) else {
            return Ok(());
        };
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = files::open(&place.path, flags)
            .call(|| format!("open({:?}, O_DIRECTORY)", place.path))?;
        files::verify(&directory, &place.path)?;
        let owner_id = Uid::from_raw(owner);
        rustix::fs::fchown(&directory, Some(owner_id), None)
            .call(|| format!("chown({:?}, {owner})", place.path))?;
        let named = openat(rustix::fs::CWD, DELEGATE, OFlags::RDONLY, Mode::empty())
            .and_then(files::read_from)
            .unwrap_or_else(|_| {
                "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".to_owned()
            });
        for file in named.lines() {
            let given = chownat(
                &directory,
                file,
                Some(owner_id),
                None,
                AtFlags::SYMLINK_NOFOLLOW,
            );
            match given {
                // A file of a controller that this cgroup hasn't got.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    return Err(errno).call(|| format!("chown({:?}/{file}, {owner})", place.path));
                }
            }
        }
        Ok(())
    }
}
