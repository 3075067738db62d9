//! Overlays of layers, however many and however long their names: Documentation/filesystems/
//! overlayfs.rst.
//!
//! What mount(2) takes is one page for all layers' names together, and a container of 50 layers below
//! a usual root fills that. Beyond it, the names are made relative to the directory that they share,
//! which any kernel understands; where even those are too long, the kernel is told one layer after
//! the other (fsconfig(2) with `lowerdir+`, Linux 6.7).

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    move_mount, unmount,
};
use rustix::process::fchdir;

use super::options::Options;
use super::{PAGE, Target, call_mount, id_map};

/// fsconfig(2) takes no longer string.
const STRING_LIMIT: usize = 255;

/// Mounts an overlay; with a user namespace `ids`, of layers whose owners it maps.
pub fn mount(
    source: &str,
    options: &Options<'_>,
    ids: Option<&OwnedFd>,
    target: &Target<'_>,
) -> Result<()> {
    let Some(ids) = ids else {
        return mount_layers(source, options.flags, &options.data, target);
    };
    let Some((names, others)) = lower_directories(&options.data) else {
        bail!("uidmap and gidmap of an overlay without lowerdir");
    };
    let names: Vec<&str> = names.split(':').collect();
    let shared = shared_directory(&names)
        .context("the layers share no directory in which their owners could be mapped")?;
    let shifted = ShiftedLayers::new(shared, ids)?;
    let layers: Vec<String> = names
        .iter()
        .map(|name| {
            let below = name
                .strip_prefix(shared)
                .unwrap_or(name)
                .trim_start_matches('/');
            shifted.directory.join(below).display().to_string()
        })
        .collect();
    let lower = format!("lowerdir={}", layers.join(":"));
    let mut data = vec![lower.as_str()];
    data.extend(others);
    mount_layers(source, options.flags, &data, target)
}

fn mount_layers(source: &str, flags: MountFlags, data: &[&str], target: &Target<'_>) -> Result<()> {
    if fits(data) {
        return call_mount(Path::new(source), &target.path(), "overlay", flags, data);
    }
    let Some((names, others)) = lower_directories(data) else {
        bail!(
            "more than {} bytes of options, and no layers among them",
            PAGE - 1
        );
    };
    if let Some((shared, short)) = relative(names) {
        let lower = format!("lowerdir={short}");
        let mut data = vec![lower.as_str()];
        data.extend(&others);
        if fits(&data) {
            return mount_from(shared, source, flags, &data, target);
        }
    }
    one_by_one(source, flags, names, &others, target)
}

/// Whether the options, with commas between them, are shorter than a page.
fn fits(data: &[&str]) -> bool {
    data.iter().map(|option| option.len() + 1).sum::<usize>() <= PAGE
}

/// The value of `lowerdir`, and all the other options.
fn lower_directories<'a>(data: &[&'a str]) -> Option<(&'a str, Vec<&'a str>)> {
    let names = data
        .iter()
        .find_map(|option| option.strip_prefix("lowerdir="))?;
    let others = data
        .iter()
        .filter(|option| !option.starts_with("lowerdir="));
    Some((names, others.copied().collect()))
}

/// The directory that all layers share, and their names as seen from there.
fn relative(names: &str) -> Option<(&str, String)> {
    let names: Vec<&str> = names.split(':').collect();
    let shared = shared_directory(&names)?;
    let short: Option<Vec<&str>> = names
        .iter()
        .map(|name| name.strip_prefix(shared)?.strip_prefix('/'))
        .collect();
    Some((shared, short?.join(":")))
}

/// Mounts with names relative to `directory`, in which this process stands for the length of the
/// call.
fn mount_from(
    directory: &str,
    source: &str,
    flags: MountFlags,
    data: &[&str],
    target: &Target<'_>,
) -> Result<()> {
    let open = |path: &str| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).with_context(|| format!("open({path:?})"))
    };
    let (here, there) = (open(".")?, open(directory)?);
    fchdir(&there).with_context(|| format!("chdir({directory:?})"))?;
    let result = call_mount(Path::new(source), &target.path(), "overlay", flags, data);
    fchdir(&here).context("chdir back")?;
    result
}

/// Tells the kernel one layer after the other.
fn one_by_one(
    source: &str,
    flags: MountFlags,
    names: &str,
    others: &[&str],
    target: &Target<'_>,
) -> Result<()> {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context("fsopen(\"overlay\")")?;
    let explain = |call: String, result: Result<(), Errno>| {
        result.map_err(|errno| anyhow!("{call}: {errno}{}", explanation(&overlay)))
    };
    let set = |key: &str, value: &str| {
        let result = fsconfig_set_string(&overlay, key, value);
        explain(format!("fsconfig({key:?}, {value:?})"), result)
    };
    let switch_on = |key: &str| {
        let result = fsconfig_set_flag(&overlay, key);
        explain(format!("fsconfig({key:?})"), result)
    };
    set("source", source)?;
    for (key, name) in layers(names) {
        let result = add_layer(&overlay, key, &name);
        explain(format!("fsconfig({key:?}, {name:?}), of Linux 6.7"), result)?;
    }
    for option in others {
        match option.split_once('=') {
            Some((key, value)) => set(key, value)?,
            None => switch_on(option)?,
        }
    }
    if flags.contains(MountFlags::RDONLY) {
        switch_on("ro")?;
    }
    explain(
        "fsconfig(FSCONFIG_CMD_CREATE)".to_owned(),
        fsconfig_create(&overlay),
    )?;
    let mount =
        fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes(flags)).context("fsmount")?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&mount, "", &target.fd, "", how).context("move_mount")
}

/// The layers that `lowerdir` names, from the uppermost to the lowest, each with the option that adds
/// it. A colon of a name stands behind a backslash; two colons precede a layer of data alone.
fn layers(names: &str) -> Vec<(&'static str, String)> {
    let mut layers = vec![("lowerdir+", String::new())];
    let mut characters = names.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                if let (Some(escaped), Some((_, name))) = (characters.next(), layers.last_mut()) {
                    name.push(escaped);
                }
            }
            ':' if characters.next_if_eq(&':').is_some() => {
                layers.push(("datadir+", String::new()));
            }
            ':' => layers.push(("lowerdir+", String::new())),
            character => {
                if let Some((_, name)) = layers.last_mut() {
                    name.push(character);
                }
            }
        }
    }
    layers
}

fn add_layer(overlay: &OwnedFd, key: &str, name: &str) -> Result<(), Errno> {
    if name.len() <= STRING_LIMIT {
        return fsconfig_set_string(overlay, key, name);
    }
    // Linux 6.13 takes a descriptor.
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let layer = openat(CWD, name, flags, Mode::empty())?;
    fsconfig_set_fd(overlay, key, layer.as_fd())
}

/// What the kernel has to say about a mount that it refuses; each read(2) yields one message, `e ` in
/// front of it for an error.
fn explanation(overlay: &OwnedFd) -> String {
    let mut explanation = String::new();
    let mut message = [0; 512];
    while let Ok(length) = rustix::io::read(overlay, &mut message) {
        let message = String::from_utf8_lossy(&message[..length]);
        let message = message.trim().trim_start_matches("e ");
        explanation.push_str("; ");
        explanation.push_str(message);
    }
    explanation
}

/// Of the mount; what is the file system's was said before.
fn attributes(flags: MountFlags) -> MountAttrFlags {
    let mut attributes = MountAttrFlags::empty();
    for (flag, attribute) in [
        (MountFlags::RDONLY, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (MountFlags::NOSUID, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (MountFlags::NODEV, MountAttrFlags::MOUNT_ATTR_NODEV),
        (MountFlags::NOEXEC, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (
            MountFlags::NODIRATIME,
            MountAttrFlags::MOUNT_ATTR_NODIRATIME,
        ),
    ] {
        attributes.set(attribute, flags.contains(flag));
    }
    if flags.contains(MountFlags::NOATIME) {
        attributes |= MountAttrFlags::MOUNT_ATTR_NOATIME;
    } else if flags.contains(MountFlags::STRICTATIME) {
        attributes |= MountAttrFlags::MOUNT_ATTR_STRICTATIME;
    }
    attributes
}

/// The lowest directory that all `paths` are in; none if that is the root.
fn shared_directory<'a>(paths: &[&'a str]) -> Option<&'a str> {
    let first: &'a str = paths.first()?;
    let mut shared = Path::new(first).parent()?;
    while !paths.iter().all(|path| Path::new(path).starts_with(shared)) {
        shared = shared.parent()?;
    }
    shared
        .to_str()
        .filter(|path| path.starts_with('/') && path.len() > 1)
}

/// The directory of all layers, mounted a second time with mapped owners, for as long as it takes to
/// mount the overlay.
struct ShiftedLayers {
    directory: PathBuf,
}

impl ShiftedLayers {
    fn new(shared: &str, ids: &OwnedFd) -> Result<Self> {
        let copy = id_map::shifted_copy(Path::new(shared), ids, true)?;
        // Nobody else may foresee or enter it.
        let name = RandomState::new().build_hasher().finish();
        let directory = PathBuf::from(format!("/run/windlass-layers-{name:016x}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&directory);
        made.with_context(|| format!("mkdir({})", directory.display()))?;
        // From here on there is something to remove.
        let layers = ShiftedLayers { directory };
        id_map::attach(&copy, &layers.directory)?;
        Ok(layers)
    }
}

impl Drop for ShiftedLayers {
    fn drop(&mut self) {
        // Not mounted yet, perhaps. The overlay has clones of its own of what it needs.
        let _ = unmount(
            &self.directory,
            UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
        );
        let _ = fs::remove_dir(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_an_option_are_told_apart() {
        let found = layers(r"/a:/b\:c:/d\\e::/data");
        let expected = [
            ("lowerdir+", "/a"),
            ("lowerdir+", "/b:c"),
            ("lowerdir+", r"/d\e"),
            ("datadir+", "/data"),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|(key, name)| (*key, name.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn layers_are_named_from_the_directory_that_they_share() {
        let found = relative("/s/2/fs:/s/1/fs");
        assert_eq!(found, Some(("/s", "2/fs:1/fs".to_owned())));
        assert_eq!(
            relative("/s/1::/s/2"),
            None,
            "layers of data are named in full"
        );
    }

    #[test]
    fn the_directory_that_layers_share() {
        assert_eq!(shared_directory(&["/s/1/fs", "/s/10/fs"]), Some("/s"));
        assert_eq!(shared_directory(&["/s/1/fs"]), Some("/s/1"));
        assert_eq!(shared_directory(&["/s/1/fs", "/t/1/fs"]), None);
        assert_eq!(shared_directory(&["s/1", "s/2"]), None);
        assert_eq!(shared_directory(&[]), None);
    }
}
