//! Where conmon's sockets lie, and binding them there however long the path is.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, OFlags, chmodat, fchmod, open, symlink, unlink};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

/// Where links to attach sockets go if nobody says where.
const DEFAULT_DIRECTORY: &str = "/var/run/crio";
/// How long the path of a unix socket can be (`sun_path`, unix(7)), without its final zero.
const LONGEST_PATH: usize = 107;

/// The directory through which clients reach the attach socket: the bundle itself, or a link to it
/// whose path is short enough for a socket's address.
#[derive(Debug)]
pub struct AttachDirectory {
    path: PathBuf,
    is_link: bool,
}

impl AttachDirectory {
    /// The bundle (`--full-attach`).
    pub fn bundle(bundle: &Path) -> Self {
        AttachDirectory {
            path: bundle.to_owned(),
            is_link: false,
        }
    }

    /// A new link `DIRECTORY/UUID` to the bundle.
    pub fn link(directory: Option<&str>, uuid: &str, bundle: &Path) -> Result<Self> {
        let mut path = format!("{}/{uuid}", directory.unwrap_or(DEFAULT_DIRECTORY));
        // As long as the longest address, the path of the link would itself hide what is behind it
        // from clients that cut; so it is one shorter, as conmon's callers expect.
        if path.len() == LONGEST_PATH {
            path.pop();
        }
        let path = PathBuf::from(path);
        remove(&path).with_context(|| {
            format!(
                "Failed to remove existing symlink for socket directory {}",
                path.display()
            )
        })?;
        symlink(bundle, &path).with_context(|| {
            format!(
                "Failed to create symlink {} to {} for the attach socket",
                path.display(),
                bundle.display()
            )
        })?;
        Ok(AttachDirectory {
            path,
            is_link: true,
        })
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the link, once: afterwards it may be another's, of the same name.
    pub fn remove(&mut self) {
        if std::mem::take(&mut self.is_link) {
            // Whoever made the directory removes what stays in it.
            let _ = remove(&self.path);
        }
    }
}

impl Drop for AttachDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A socket bound to `directory/name`, in the place of whatever lies there.
pub fn bind_in(directory: &Path, name: &str, kind: SocketType, mode: u32) -> Result<OwnedFd> {
    let path = directory.join(name);
    remove(&path)
        .with_context(|| format!("Failed to remove existing socket: {}", path.display()))?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None)
        .with_context(|| format!("Failed to create socket {}", path.display()))?;
    // Through a descriptor of its directory, a path of any length fits.
    let holder = open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .with_context(|| {
        format!(
            "failed to open socket path parent dir {}",
            directory.display()
        )
    })?;
    let address = format!("/proc/self/fd/{}/{name}", holder.as_raw_fd());
    // The socket is there with its mode at once, and never with a wider one.
    let mode = Mode::from_raw_mode(mode);
    fchmod(&socket, mode).context("fchmod(socket)")?;
    SocketAddrUnix::new(address)
        .and_then(|address| bind(&socket, &address))
        .with_context(|| format!("Failed to bind to {}", path.display()))?;
    chmodat(CWD, &path, mode, rustix::fs::AtFlags::empty())
        .with_context(|| format!("Failed to change socket permissions {}", path.display()))?;
    Ok(socket)
}

/// Removes a file that may not be there.
pub fn remove(path: &Path) -> Result<(), Errno> {
    match unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
