//! The socket that a shim serves: where it is, and who may be at its other end.

use std::fmt::Write;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use sha2::{Digest, Sha256};

/// Where containerd and its shims expect these sockets.
const DIRECTORY: &str = "/run/containerd/s";
/// The file in a bundle that says where its shim listens.
const ADDRESS_FILE: &str = "address";

/// A socket for one container, or for one group of them.
#[derive(Debug)]
pub struct TaskSocket {
    path: PathBuf,
}

/// What came of wanting to serve a socket.
#[derive(Debug)]
pub enum Claim {
    /// Nobody did; now we do.
    Ours(OwnedFd),
    /// A living shim does.
    Served,
}

impl TaskSocket {
    /// The one for `group` in `namespace` of the containerd at `containerd`: the stock shim's name
    /// for it, so that both find each other's.
    pub fn of_group(
        directory: Option<&str>,
        containerd: &str,
        namespace: &str,
        group: &str,
    ) -> Self {
        let directory = directory.filter(|directory| !directory.is_empty());
        let digest = Sha256::digest(joined(&[containerd, namespace, group]));
        let name = digest.iter().fold(String::new(), |mut name, byte| {
            // Writing to a string can't fail.
            let _ = write!(name, "{byte:02x}");
            name
        });
        TaskSocket {
            path: Path::new(directory.unwrap_or(DIRECTORY)).join(name),
        }
    }

    /// The one that the bundle's shim was started with; `None` if it never was.
    pub fn of_bundle(bundle: &Path) -> Option<Self> {
        let address = std::fs::read_to_string(bundle.join(ADDRESS_FILE)).ok()?;
        let path = PathBuf::from(address.trim().strip_prefix("unix://")?);
        path.is_absolute().then_some(TaskSocket { path })
    }

    /// As containerd wants to be told.
    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Notes in the bundle where its shim listens: for containerd up to 1.6 when it is restarted,
    /// and for `delete`.
    pub fn write_into(&self, bundle: &Path) -> Result<()> {
        let (path, new) = (bundle.join(ADDRESS_FILE), bundle.join(".address"));
        std::fs::write(&new, self.address())
            .and_then(|()| std::fs::rename(&new, &path))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Listens, unless somebody does already. What a dead shim has left is replaced.
    pub fn claim(&self) -> Result<Claim> {
        // Two containers of a pod may be started at once.
        let _lock = self.lock()?;
        let listening = || format!("listening on {}", self.path.display());
        match self.listen() {
            Ok(listener) => return Ok(Claim::Ours(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error).with_context(listening),
        }
        if self.is_served() {
            return Ok(Claim::Served);
        }
        self.remove()?;
        self.listen().map(Claim::Ours).with_context(listening)
    }

    /// Removes what a dead shim has left; nobody begins to serve it in between.
    pub fn remove_unless_served(&self) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        if self.is_served() {
            return Ok(());
        }
        self.remove()
    }

    /// Keeps others from the directory's sockets, until this is dropped.
    fn lock(&self) -> Result<OwnedFd> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let lock = private_directory(directory)?;
        flock(&lock, FlockOperation::LockExclusive)
            .with_context(|| format!("flock({})", directory.display()))?;
        Ok(lock)
    }

    fn listen(&self) -> io::Result<OwnedFd> {
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(&self.path);
        rustix::process::umask(before);
        listener.map(OwnedFd::from)
    }

    /// Whether somebody listens.
    fn is_served(&self) -> bool {
        let connected = SocketAddrUnix::new(&self.path).and_then(|address| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            connect(&socket, &address)
        });
        // AGAIN: its queue is full, but there is one.
        matches!(connected, Ok(()) | Err(Errno::AGAIN))
    }

    /// Removes the socket's file; there need not be one.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The path of these parts as Go's `filepath.Join` has it: without regard to slashes at their
/// beginnings and ends, cleaned without a look at the file system.
fn joined(parts: &[&str]) -> String {
    let filled = parts.iter().filter(|part| !part.is_empty());
    let text = filled.copied().collect::<Vec<_>>().join("/");
    if text.is_empty() {
        return text;
    }
    let is_absolute = text.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => {
                names.pop();
            }
            // The root is its own parent.
            ".." if is_absolute => {}
            name => names.push(name),
        }
    }
    match (is_absolute, names.join("/")) {
        (true, names) => format!("/{names}"),
        (false, names) if names.is_empty() => ".".to_owned(),
        (false, names) => names,
    }
}

/// Opens a directory that nobody else can put anything into, and makes it if there is none.
fn private_directory(path: &Path) -> Result<OwnedFd> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("making {}", path.display()))?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())
        .with_context(|| format!("opening {}", path.display()))?;
    let found =
        rustix::fs::fstat(&directory).with_context(|| format!("fstat({})", path.display()))?;
    if found.st_uid != rustix::process::geteuid().as_raw() || found.st_mode & 0o022 != 0 {
        bail!(
            "{} belongs to user {} and has mode {:03o}, so others could put sockets there: \
             it must be ours, 0700",
            path.display(),
            found.st_uid,
            found.st_mode & 0o777
        );
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn socket(directory: &Path, group: &str) -> TaskSocket {
        TaskSocket::of_group(directory.to_str(), "/run/c.sock", "default", group)
    }

    #[test]
    fn the_name_is_the_stock_shims() {
        let socket = TaskSocket::of_group(None, "/run/containerd/containerd.sock", "k8s.io", "pod");
        // printf %s /run/containerd/containerd.sock/k8s.io/pod | sha256sum
        assert_eq!(
            socket.address(),
            "unix:///run/containerd/s/b9cab8e84f817f3c3bb561c7ea8dcbfba051d5d8f56ec2c3f204bc387d13f7d0"
        );
    }

    /// What Go 1.19's `filepath.Join` returns.
    #[test]
    fn paths_are_joined_as_go_joins_them() {
        for (parts, whole) in [
            (
                ["/run/c.sock", "default", "/pod"],
                "/run/c.sock/default/pod",
            ),
            (
                ["/run//c.sock/", "default", "a/./b/"],
                "/run/c.sock/default/a/b",
            ),
            (["/run/c.sock", "", "../../../../x"], "/x"),
            (["c.sock", "..", "../x"], "../x"),
            (["c.sock", "..", ""], "."),
            (["", "", ""], ""),
        ] {
            assert_eq!(joined(&parts), whole, "{parts:?}");
        }
    }

    #[test]
    fn a_group_has_one_socket_and_a_dead_one_is_replaced() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("s");
        let one = socket(&directory, "one");
        let Claim::Ours(listener) = one.claim().unwrap() else {
            panic!("nobody listens")
        };
        assert_eq!(directory.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(one.path.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(matches!(one.claim().unwrap(), Claim::Served));
        one.remove_unless_served().unwrap();
        assert!(one.path.exists());
        assert!(matches!(
            socket(&directory, "two").claim().unwrap(),
            Claim::Ours(_)
        ));
        drop(listener);
        assert!(!one.is_served());
        assert!(matches!(one.claim().unwrap(), Claim::Ours(_)));
        one.write_into(place.path()).unwrap();
        let found = TaskSocket::of_bundle(place.path()).unwrap();
        assert_eq!(found.path, one.path);
        found.remove_unless_served().unwrap();
        found.remove_unless_served().unwrap();
        found.remove().unwrap();
        assert!(!one.path.exists());
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(place.path(), open).unwrap();
        let error = socket(place.path(), "one").claim().unwrap_err().to_string();
        assert!(error.contains("has mode 777"), "{error}");
    }

    #[test]
    fn a_path_that_is_too_long_is_named() {
        let place = tempfile::tempdir().unwrap();
        let error = socket(&place.path().join("x".repeat(60)), "one");
        let error = format!("{:#}", error.claim().unwrap_err());
        assert!(error.contains("listening on"), "{error}");
    }
}
