//! Overlay mounts (the kernel's filesystems/overlayfs.rst): layers that are only read, and one that
//! is written to.
//!
//! Nothing is mounted where others see it before the caller says so: a mount is made detached
//! (fsmount(2)) and attached afterwards. Its options are those under which an upper directory says
//! all that a layer has to: no redirects, no files whose data is elsewhere.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, mount,
    move_mount, open_tree, unmount,
};

/// What is mounted on what.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Directories that are only read, the topmost first.
    pub lowers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// An empty directory of the same file system, which the kernel works in.
    pub work: PathBuf,
}

/// Options whose defaults differ from kernel to kernel. An upper directory made with these can
/// become a layer (`layer::diff::overlay`).
const OPTIONS: [(&str, &str); 3] = [
    ("redirect_dir", "nofollow"),
    ("metacopy", "off"),
    ("index", "off"),
];

/// Bytes of options that mount(2) takes: a page, with the NUL.
const MOST_OPTIONS: usize = 4095;

impl Overlay {
    /// Mounts it nowhere: it is there as long as the descriptor, or what is opened through that,
    /// is. `place` is an empty directory that kernels before 6.13 need for a moment.
    pub fn detached(&self, place: &Path) -> Result<OwnedFd> {
        let opened = self.open()?;
        let mounted = match self.by_descriptors(&opened) {
            Err(Error::OlderKernel) => by_names(&opened, place),
            result => result,
        };
        match mounted {
            Ok(mount) => Ok(mount),
            Err(Error::OlderKernel) => bail!("this kernel has no overlay file system"),
            Err(Error::Failed(error)) => Err(error).with_context(|| self.explain()),
        }
    }

    /// Mounts it on a directory.
    pub fn mount_on(&self, directory: BorrowedFd<'_>, path: &Path) -> Result<()> {
        let mount = self.detached(path)?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&mount, "", directory, "", flags)
            .with_context(|| format!("move_mount to {}", path.display()))
    }

    fn explain(&self) -> String {
        format!(
            "mount an overlay of {} layers with {} on top",
            self.lowers.len(),
            self.upper.display()
        )
    }

    fn open(&self) -> Result<Opened> {
        let open = |path: &PathBuf| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty())
                .with_context(|| format!("open {}", path.display()))
        };
        Ok(Opened {
            lowers: self.lowers.iter().map(open).collect::<Result<_>>()?,
            upper: open(&self.upper)?,
            work: open(&self.work)?,
        })
    }

    /// The way of Linux 6.13 and later, where layers are given by their descriptors.
    fn by_descriptors(&self, opened: &Opened) -> Result<OwnedFd, Error> {
        let context =
            fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| match errno {
                Errno::NOSYS => Error::OlderKernel,
                errno => Error::call("fsopen overlay", errno),
            })?;
        for (number, lower) in opened.lowers.iter().enumerate() {
            match fsconfig_set_fd(&context, "lowerdir+", lower) {
                // Before 6.13 either overlay doesn't know the option as one of descriptors, or
                // fsconfig(2) takes none that was opened with O_PATH.
                Err(Errno::INVAL | Errno::BADF) if number == 0 => return Err(Error::OlderKernel),
                result => result.map_err(|errno| {
                    let name = self.lowers[number].display();
                    Error::told(&context, &format!("lower directory {name}"), errno)
                })?,
            }
        }
        for (key, directory) in [("upperdir", &opened.upper), ("workdir", &opened.work)] {
            fsconfig_set_fd(&context, key, directory)
                .map_err(|errno| Error::told(&context, key, errno))?;
        }
        fsconfig_set_string(&context, "source", "overlay")
            .map_err(|errno| Error::told(&context, "source", errno))?;
        for (key, value) in OPTIONS {
            fsconfig_set_string(&context, key, value)
                .map_err(|errno| Error::told(&context, key, errno))?;
        }
        fsconfig_create(&context).map_err(|errno| Error::told(&context, "create", errno))?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
        .map_err(|errno| Error::told(&context, "fsmount", errno))
    }
}

/// The way of older kernels: mount(2), whose options have to fit on a page. Descriptors' names are
/// short whatever the paths are, so that some 200 layers fit.
fn by_names(opened: &Opened, place: &Path) -> Result<OwnedFd, Error> {
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    let lowers: Vec<String> = opened.lowers.iter().map(name).collect();
    let mut options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lowers.join(":"),
        name(&opened.upper),
        name(&opened.work)
    );
    for (key, value) in OPTIONS {
        // Writing to a string can't fail.
        let _ = write!(options, ",{key}={value}");
    }
    if options.len() > MOST_OPTIONS {
        let count = lowers.len();
        let error = anyhow::anyhow!("{count} layers are more than a kernel before 6.13 can mount");
        return Err(Error::Failed(error));
    }
    let c_options = std::ffi::CString::new(options.clone())
        .map_err(|error| Error::Failed(anyhow::Error::new(error)))?;
    mount(
        "overlay",
        place,
        "overlay",
        MountFlags::empty(),
        &*c_options,
    )
    .map_err(|errno| Error::call(&format!("mount overlay with {options}"), errno))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, place, flags).map_err(|errno| Error::call("open_tree", errno));
    let unmounted = unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    unmounted.map_err(|errno| Error::call(&format!("umount2 {}", place.display()), errno))?;
    tree
}

struct Opened {
    lowers: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
}

enum Error {
    /// It doesn't know this way.
    OlderKernel,
    Failed(anyhow::Error),
}

impl Error {
    fn call(call: &str, errno: Errno) -> Self {
        let hint = match errno {
            Errno::PERM => " (overlays need root; --flat does without)",
            Errno::NODEV => " (this kernel has no overlay file system; --flat does without)",
            Errno::INVAL => {
                " (is the directory on a file system that can't hold an upper directory, such as \
                 another overlay? --flat does without)"
            }
            _ => "",
        };
        Error::Failed(anyhow::Error::new(errno).context(format!("{call}{hint}")))
    }

    /// With what the kernel says of it: it keeps lines for whoever reads the context.
    fn told(context: &OwnedFd, what: &str, errno: Errno) -> Self {
        let mut said = String::new();
        if let Ok(clone) = context.try_clone() {
            let mut file = File::from(clone);
            let mut line = [0; 512];
            while let Ok(length @ 1..) = file.read(&mut line) {
                let text = String::from_utf8_lossy(&line[..length]);
                // "e overlay: text", fsopen(2).
                let text = text.trim_end().get(2..).unwrap_or_default().to_owned();
                // Writing to a string can't fail.
                let _ = write!(said, " [{text}]");
            }
        }
        Error::call(&format!("fsconfig overlay: {what}{said}"), errno)
    }
}

/// Takes a mount off `path`, if there is one; says whether there was. What is still open below it
/// stays as long as it is open with `detach`, otherwise it is an error (`EBUSY`).
pub fn unmount_from(path: &Path, detach: bool) -> Result<bool> {
    let mut flags = UnmountFlags::NOFOLLOW;
    if detach {
        flags |= UnmountFlags::DETACH;
    }
    match unmount(path, flags) {
        Ok(()) => Ok(true),
        // No mount, or nothing at all.
        Err(Errno::INVAL | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).with_context(|| format!("umount2 {}", path.display())),
    }
}
