//! What of a container is outside of it: CRIU neither dumps nor makes such things, it is told
//! their names.

use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use crate::cgroup::Placement;
use crate::criu::{Options, Word};
use crate::error::{CallContext, Result};
use crate::plan::{Action, MountSource, NamespaceKind, Plan};
use crate::rootfs::RootFd;
use crate::rootfs::cgroups::directory_name;
use crate::spec::Spec;

/// In the images: what the container's standard streams were, as runc writes it.
pub(super) const DESCRIPTORS: &str = "descriptors.json";

/// The annotation that names a file of CRIU's options for this container.
pub(super) fn config_file<'a>(spec: &'a Spec<'_>) -> Option<&'a str> {
    spec.annotations
        .iter()
        .find(|(name, _)| &***name == "org.criu.config")
        .map(|(_, path)| &**path)
}

/// A mount of something of the host's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExternalMount {
    /// Where, a path in the container without symbolic links.
    pub(super) destination: String,
    /// What, a path of the host.
    pub(super) source: String,
}

/// All mounts that `plan` makes of something of the host's. `root` is where their paths are
/// resolved.
pub(super) fn mounts(plan: &Plan<'_>, placement: &Placement, root: &RootFd) -> Vec<ExternalMount> {
    let mut found = Vec::new();
    let mut add = |destination: &str, source: &str| {
        found.push(ExternalMount {
            destination: destination.to_owned(),
            source: source.to_owned(),
        });
    };
    for step in &plan.steps {
        match &step.action {
            Action::Mount(step) => match &step.source {
                MountSource::Bind { path, .. } => {
                    add(&resolved(root, step.destination), path);
                }
                MountSource::Cgroups => {
                    let destination = resolved(root, step.destination);
                    match &placement.places[..] {
                        [unified] if unified.hierarchy.is_empty() => {
                            add(&destination, &unified.path);
                        }
                        places => places.iter().for_each(|place| {
                            let name = directory_name(&place.hierarchy);
                            add(&format!("{destination}/{name}"), &place.path);
                        }),
                    }
                }
                MountSource::Filesystem { .. } | MountSource::Remount => {}
            },
            // A bind mount where a container may make no device nodes.
            Action::Device(device) => add(device.path, device.path),
            _ => {}
        }
    }
    found
}

/// The paths of files that are masked by the host's /dev/null, in a running container.
pub(super) fn masked_files(plan: &Plan<'_>, root: &RootFd) -> Vec<String> {
    plan.steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Mask { path, .. } => Some(*path),
            _ => None,
        })
        .filter(|path| {
            root.resolve(path).is_ok_and(|found| {
                rustix::fs::fstat(&found).is_ok_and(|status| !is_directory(status.st_mode))
            })
        })
        .map(|path| resolved(root, path))
        .collect()
}

fn is_directory(mode: u32) -> bool {
    rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Directory
}

/// The path as mountinfo has it: where what is there really is; what isn't there, as it was given.
fn resolved(root: &RootFd, path: &str) -> String {
    let link = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).ok();
    let found = root.resolve(path).ok().and_then(|found| {
        let top = link(root.as_fd().as_raw_fd())?;
        let found = link(found.as_raw_fd())?;
        let inside = found.strip_prefix(&top).ok()?.to_str()?;
        Some(format!("/{inside}"))
    });
    found.unwrap_or_else(|| format!("/{}", path.trim_matches('/')))
}

/// The namespaces that the container shares and that CRIU leaves alone: in a dump they get a name,
/// under which the restore is handed them again.
pub(super) fn namespaces<'a>(
    spec: &'a Spec<'_>,
) -> impl Iterator<Item = (NamespaceKind, &'a str, usize)> {
    spec.linux
        .namespaces
        .iter()
        .enumerate()
        .filter_map(|(index, namespace)| {
            let kind = NamespaceKind::from_name(&namespace.kind)?;
            let path = namespace.path.as_deref().filter(|path| !path.is_empty())?;
            Some((kind, path, index))
        })
}

/// The name of a shared namespace in the images: runc's, for those that CRIU can leave alone.
pub(super) fn namespace_key(kind: NamespaceKind) -> Option<&'static str> {
    match kind {
        NamespaceKind::Network => Some("extRootNetNS"),
        NamespaceKind::Pid => Some("extRootPidNS"),
        _ => None,
    }
}

/// Tells CRIU, for a dump, which files of the host's the standard streams of `init` are, and says
/// what the streams are called in the images. An empty name is one of the container's own.
///
/// # Errors
/// When init is gone.
pub(super) fn standard_streams(
    init: i32,
    placement: &Placement,
    options: &mut Options,
) -> Result<[String; 3]> {
    let mounts = mounts_of(init)?;
    let mut names: [String; 3] = Default::default();
    for (number, name) in names.iter_mut().enumerate() {
        let path = format!("/proc/{init}/fd/{number}");
        let Ok(link) = std::fs::read_link(&path) else {
            continue; // init has closed it
        };
        let link = link.to_string_lossy();
        if link.starts_with("pipe:") {
            if !is_own_pipe(placement, init, number, &link)? {
                *name = link.into_owned();
            }
        } else if link.starts_with('/') {
            let status = std::fs::metadata(&path).call(|| format!("stat({path})"))?;
            let mount = field_of(&format!("/proc/{init}/fdinfo/{number}"), "mnt_id:");
            let Some(mount) = mount.and_then(|mount| mount.parse::<u32>().ok()) else {
                continue;
            };
            if !mounts.contains(&mount) && !is_terminal(status.mode(), status.rdev()) {
                *name = format!("file[{mount:x}:{:x}]", status.ino());
                options.word(Word::External, name);
            }
        }
    }
    Ok(names)
}

/// The ids of the mounts that a process has (proc_pid_mountinfo(5), field 1).
fn mounts_of(pid: i32) -> Result<BTreeSet<u32>> {
    let path = format!("/proc/{pid}/mountinfo");
    let table = std::fs::read_to_string(&path).call(|| format!("read {path}"))?;
    Ok(table
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect())
}

/// Whether the other end of a pipe is in the container too.
fn is_own_pipe(placement: &Placement, init: i32, number: usize, link: &str) -> Result<bool> {
    let writes = |pid: i32, fd: &str| {
        let flags = field_of(&format!("/proc/{pid}/fdinfo/{fd}"), "flags:")?;
        let flags = u32::from_str_radix(&flags, 8).ok()?;
        Some(flags & libc::O_ACCMODE.cast_unsigned() != libc::O_RDONLY.cast_unsigned())
    };
    let ours = writes(init, &number.to_string());
    for pid in placement.processes()? {
        let pid = pid.as_raw_nonzero().get();
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue; // it has ended
        };
        for descriptor in descriptors.flatten() {
            let same = std::fs::read_link(descriptor.path())
                .is_ok_and(|other| other.to_string_lossy() == link);
            let fd = descriptor.file_name();
            if same && fd.to_str().and_then(|fd| writes(pid, fd)) != ours {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The value of a line of /proc/PID/fdinfo/N (proc_pid_fdinfo(5)).
fn field_of(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

/// Of terminals CRIU takes care itself: majors of Documentation/admin-guide/devices.txt.
fn is_terminal(mode: u32, device: u64) -> bool {
    let character =
        rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::CharacterDevice;
    character && matches!(rustix::fs::major(device), 4 | 5 | 136..=143)
}
