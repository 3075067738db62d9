//! From an entry of `mounts` to a step (config.md, "Mounts" and "Linux mount options").

mod idmap;
mod label;
mod options;

use super::{IdMap, IdMappings, Links, MountSource, MountStep, Pointer};
use crate::error::{Error, Result};
use crate::spec::{Linux, Mount};

pub use options::OPTION_NAMES;
use options::Options;

/// Files of /proc that may be mounted over: emulations of them are in use. The list is runc's, and
/// net/dev.
pub const EMULATED_PROC_FILES: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "net/dev",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// What the paths of mounts are relative to.
#[derive(Clone, Copy, Debug)]
pub struct Places<'p> {
    /// Relative sources.
    pub bundle: &'p str,
    /// A destination written as a path of the host in here is one of the container, as for runc.
    pub rootfs: &'p str,
}

/// The step for the mount that stands at `pointer` of config.json, or of a list of its own. `label` is
/// the SELinux context of new file systems, on a host that has SELinux.
///
/// # Errors
/// For what can't be mounted so, with its place.
pub fn step<'a>(
    mount: &'a Mount<'a>,
    pointer: Pointer<'_>,
    places: Places<'_>,
    linux: &Linux<'_>,
    label: Option<&'a str>,
) -> Result<MountStep<'a>> {
    let mut options = Options::parse(mount);
    let destination = inside(&mount.destination, places.rootfs);
    let kind = mount.kind.as_deref().unwrap_or("none");
    let recursive_bind = options
        .bind
        .or_else(|| (kind == "bind" || kind == "rbind").then_some(kind == "rbind"));
    if !options.remount {
        check_destination(destination, kind, recursive_bind.is_some(), pointer)?;
    }
    let mut attributes = options.attributes();
    let without_effect = match recursive_bind {
        Some(_) if !options.remount => options.take_values(),
        _ => None,
    };
    let source = if options.remount {
        options.refuse_those_of_a_filesystem("remount", pointer)?;
        MountSource::Remount
    } else if let Some(recursive) = recursive_bind {
        attributes = options.bind_attributes();
        bind(
            mount,
            destination,
            &options,
            recursive,
            pointer,
            places.bundle,
        )?
    } else if kind == "cgroup" || kind == "cgroup2" {
        options.refuse_those_of_a_filesystem("cgroup", pointer)?;
        MountSource::Cgroups
    } else if kind == "none" || kind.is_empty() {
        return Err(Error::config(
            format!("{pointer}/type"),
            format!(
                "mount of {:?} names no type and is no bind mount",
                mount.destination
            ),
        ));
    } else {
        // A file system on a block device has to be opened read-only as a whole; on one in memory
        // the flag of the mount is enough and the superblock may be shared with the host.
        if attributes.set & libc::MOUNT_ATTR_RDONLY != 0 && !in_memory(kind) {
            options.superblock.push("ro");
        }
        options
            .data
            .extend(options.superblock.iter().map(|name| (*name, None)));
        label::unquote(&mut options.data);
        MountSource::Filesystem {
            kind,
            source: mount
                .source
                .as_deref()
                .filter(|source| !source.is_empty())
                .unwrap_or(kind),
            options: std::mem::take(&mut options.data),
        }
    };
    if options.copy_up && !matches!(source, MountSource::Filesystem { kind: "tmpfs", .. }) {
        return Err(Error::config(
            format!("{pointer}/options"),
            "tmpcopyup is only for new mounts of type tmpfs",
        ));
    }
    let idmap = idmap::of(mount, &options, &source, linux, pointer)?;
    let mut step = MountStep {
        destination,
        source,
        attributes,
        cleared_by_name: options.cleared_by_name(),
        recursive: options.recursive,
        propagation: options.propagation,
        copy_up: options.copy_up,
        without_effect,
        idmap,
        label: None,
    };
    if let Some(context) = label {
        label::give(&mut step, context);
    }
    Ok(step)
}

/// A mount on the root would cover all that is made in it. A mount in /proc hides from the container, and from whoever looks into it, what the kernel says
/// there, or what it is told there (CVE-2019-16884).
fn check_destination(path: &str, kind: &str, bind: bool, pointer: Pointer<'_>) -> Result<()> {
    let destination = clean(path);
    let new_proc = kind == "proc" && !bind;
    let refusal = match destination.split_once('/') {
        None if destination.is_empty() => "it is on the top of rootfs",
        None if destination == "proc" && !new_proc && !bind => "it is not of type proc",
        Some(("proc", file)) if !new_proc && !EMULATED_PROC_FILES.contains(&file) => {
            "it is inside /proc"
        }
        _ => return Ok(()),
    };
    Err(Error::config(
        format!("{pointer}/destination"),
        format!("{path:?} cannot be mounted because {refusal}"),
    ))
}

/// A destination as a path of the container: one below the rootfs on the host without that part.
fn inside<'a>(destination: &'a str, rootfs: &str) -> &'a str {
    let rootfs = rootfs.trim_end_matches(['/', '.']);
    match destination.strip_prefix(rootfs) {
        Some("") => "/",
        Some(inside) if !rootfs.is_empty() && inside.starts_with('/') => inside,
        _ => destination,
    }
}

/// A path of the container without its first slash, `.`, `..` and empty names.
fn clean(path: &str) -> String {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

fn in_memory(kind: &str) -> bool {
    matches!(
        kind,
        "proc" | "sysfs" | "tmpfs" | "devpts" | "mqueue" | "ramfs"
    )
}

fn bind<'a>(
    mount: &Mount<'a>,
    destination: &str,
    options: &Options<'_>,
    recursive: bool,
    pointer: Pointer<'_>,
    bundle: &str,
) -> Result<MountSource<'a>> {
    options.refuse_those_of_a_filesystem("bind", pointer)?;
    let source = mount
        .source
        .as_deref()
        .filter(|source| !source.is_empty())
        .ok_or_else(|| Error::config(format!("{pointer}/source"), "bind mount without a source"))?;
    let path = if source.starts_with('/') {
        source.to_owned()
    } else {
        format!("{bundle}/{source}")
    };
    let links = Links {
        source_nofollow: options.source_nofollow,
        destination_nofollow: options.destination_nofollow,
        copy_symlink: options.copy_symlink,
    };
    if links.copy_symlink && (links.source_nofollow || links.destination_nofollow) {
        return Err(Error::config(
            format!("{pointer}/options"),
            "copy-symlink is mutually exclusive with src-nofollow and dest-nofollow",
        ));
    }
    Ok(MountSource::Bind {
        path,
        recursive,
        links,
        covers_proc: clean(destination) == "proc",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Text;

    fn mount(kind: &'static str, options: &[&'static str]) -> Mount<'static> {
        Mount {
            destination: Text::from("/somewhere"),
            kind: Some(Text::from(kind)),
            source: Some(Text::from("source")),
            options: options.iter().map(|option| Text::from(*option)).collect(),
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
        }
    }

    fn step<'a>(mount: &'a Mount<'a>, index: usize, bundle: &str) -> Result<MountStep<'a>> {
        let pointer = Pointer::element("/mounts", index);
        let places = Places {
            bundle,
            rootfs: "/b/rootfs",
        };
        super::step(mount, pointer, places, &Linux::default(), None)
    }

    #[test]
    fn the_last_of_contradicting_options_wins() {
        let mount = mount("tmpfs", &["ro", "rw", "nosuid", "noatime", "size=1m"]);
        let step = step(&mount, 0, "/b").unwrap();
        let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOATIME;
        assert_eq!(step.attributes.set, set);
        let atime = libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_NODIRATIME;
        assert_eq!(step.attributes.clear, libc::MOUNT_ATTR_RDONLY | atime);
        match step.source {
            MountSource::Filesystem { options, .. } => {
                assert_eq!(options, [("size", Some("1m"))]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_emulations_of_single_files_go_into_proc() {
        let at = |destination: &'static str, kind, options: &[&'static str]| {
            let mut mount = mount(kind, options);
            mount.destination = Text::from(destination);
            step(&mount, 2, "/b")
                .map(drop)
                .map_err(|error| error.to_string())
        };
        for inside in [
            "/proc/sys",
            "/proc/1/../acpi/",
            "//./proc/self",
            "/a/../proc/net",
            "proc/x",
        ] {
            for (kind, option) in [("bind", "ro"), ("proc", "rbind"), ("tmpfs", "ro")] {
                let error = at(inside, kind, &[option]).unwrap_err();
                assert!(error.contains("inside /proc"), "{error}");
                assert!(error.contains("/mounts/2/destination"), "{error}");
            }
            at(inside, "proc", &[]).unwrap();
        }
        for allowed in [
            "/proc/cpuinfo",
            "/proc/./net//dev",
            "/proc/../x",
            "/process",
            "/proc",
        ] {
            at(allowed, "bind", &["ro"]).unwrap();
        }
        assert!(
            at("/proc/", "tmpfs", &[])
                .unwrap_err()
                .contains("not of type proc")
        );
        at("/proc", "proc", &["nosuid"]).unwrap();
        at("/proc", "none", &["remount", "ro"]).unwrap();
    }

    #[test]
    fn a_destination_below_the_rootfs_on_the_host_is_one_of_the_container() {
        for (written, meant) in [
            ("/b/rootfs/mnt/x", "/mnt/x"),
            ("/b/rootfs2/mnt", "/b/rootfs2/mnt"),
            ("/b/mnt", "/b/mnt"),
            ("mnt", "mnt"),
        ] {
            let mut mount = mount("tmpfs", &[]);
            mount.destination = Text::from(written);
            assert_eq!(step(&mount, 0, "/b").unwrap().destination, meant);
        }
        for refused in ["/b/rootfs", "/b/rootfs/proc/sys", "/"] {
            let mut mount = mount("tmpfs", &[]);
            mount.destination = Text::from(refused);
            assert!(step(&mount, 0, "/b").is_err(), "{refused}");
        }
    }

    #[test]
    fn an_idmapped_mount_is_a_bind_mount_with_both_mappings() {
        let mapping = crate::spec::IdMapping {
            container_id: 0,
            host_id: 1000,
            size: 10,
        };
        let mut tmpfs = mount("tmpfs", &[]);
        tmpfs.uid_mappings = vec![mapping];
        let error = step(&tmpfs, 3, "/b").unwrap_err().to_string();
        assert!(error.contains("only supported for bind-mounts"), "{error}");
        let mut half = mount("bind", &["bind"]);
        half.uid_mappings = vec![mapping];
        let bare = mount("bind", &["rbind", "ridmap"]);
        for bad in [half, bare] {
            let error = step(&bad, 3, "/b").unwrap_err().to_string();
            assert!(error.contains("both uid and gid mappings"), "{error}");
            assert!(error.contains("/mounts/3/"), "{error}");
        }
        let mut good = mount("bind", &["rbind", "ridmap"]);
        good.uid_mappings = vec![mapping];
        good.gid_mappings = vec![mapping];
        let idmap = step(&good, 3, "/b").unwrap().idmap.unwrap();
        assert!(idmap.recursive && idmap.mappings.is_some());
    }

    #[test]
    fn options_of_a_filesystem_are_for_new_ones() {
        for (kind, option) in [("bind", "bind"), ("none", "remount"), ("cgroup", "ro")] {
            let size = if kind == "bind" { "sise" } else { "size=1m" };
            for refused in [size, "sync", "dirsync", "mand", "lazytime", "tmpcopyup"] {
                let bad = mount(kind, &[option, refused]);
                let error = step(&bad, 3, "/b").unwrap_err().to_string();
                let named = refused.trim_end_matches("=1m");
                assert!(error.contains("/mounts/3/options"), "{error}");
                assert!(error.contains(named), "{error}");
            }
            let usual = [
                "nosuid", "noexec", "nodev", "relatime", "rw", "async", "defaults",
            ];
            let good = mount(kind, &[&[option], &usual[..]].concat());
            step(&good, 3, "/b").unwrap();
        }
        let covered = mount("tmpfs", &["bind", "tmpcopyup"]);
        assert!(step(&covered, 0, "/b").is_err());
    }

    #[test]
    fn a_bind_mount_ignores_values_and_resolves_in_the_bundle() {
        let sized = mount("bind", &["rbind", "mode=755", "size=1m"]);
        let ignoring = step(&sized, 3, "/b").unwrap();
        assert_eq!(ignoring.without_effect, Some("mode"));
        let good = mount("none", &["rbind", "rro", "rslave"]);
        let step = step(&good, 0, "/b").unwrap();
        assert!(matches!(
            step.source,
            MountSource::Bind { ref path, recursive: true, .. } if path == "/b/source"
        ));
        assert_eq!(step.recursive.set, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(step.propagation, [libc::MS_SLAVE | libc::MS_REC]);
    }
}
