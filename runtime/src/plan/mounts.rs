//! From an entry of `mounts` to a step (config.md, "Mounts" and "Linux mount options").

use super::{MountSource, MountStep, Pointer};
use crate::error::{Error, Result};
use crate::spec::Mount;
use crate::sys::mount::Attributes;

/// `MS_*` as mount_setattr(2) takes them for propagation.
const SHARED: u64 = libc::MS_SHARED;
const SLAVE: u64 = libc::MS_SLAVE;
const PRIVATE: u64 = libc::MS_PRIVATE;
const UNBINDABLE: u64 = libc::MS_UNBINDABLE;
const RECURSIVE: u64 = libc::MS_REC;

const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// What one option does.
#[derive(Clone, Copy)]
enum Effect {
    /// Sets these attributes, clearing the second first (for the atime group).
    Set(u64, u64),
    /// Clears these attributes.
    Clear(u64),
    /// As `Set`, for this mount and all below it.
    SetRecursive(u64, u64),
    /// As `Clear`, for this mount and all below it.
    ClearRecursive(u64),
    /// A change of propagation.
    Propagation(u64),
    /// A flag of the file system itself (its superblock).
    Superblock(&'static str),
    /// A bind mount.
    Bind {
        recursive: bool,
    },
    CopyUp,
    Remount,
    /// Says what is so without it, or what no current kernel distinguishes.
    Default,
}

/// Every option that is not the file system's own, sorted by name.
const OPTIONS: [(&str, Effect); 59] = {
    use Effect::{
        Bind, Clear, ClearRecursive, Default, Propagation, Remount, Set, SetRecursive, Superblock,
    };
    use libc::{
        MOUNT_ATTR_NOATIME as NOATIME, MOUNT_ATTR_NODEV as NODEV,
        MOUNT_ATTR_NODIRATIME as NODIRATIME, MOUNT_ATTR_NOEXEC as NOEXEC,
        MOUNT_ATTR_NOSUID as NOSUID, MOUNT_ATTR_NOSYMFOLLOW as NOSYMFOLLOW,
        MOUNT_ATTR_RDONLY as RDONLY, MOUNT_ATTR_RELATIME as RELATIME,
        MOUNT_ATTR_STRICTATIME as STRICTATIME,
    };
    [
        ("async", Superblock("async")),
        ("atime", Set(RELATIME, ATIME)),
        ("bind", Bind { recursive: false }),
        ("defaults", Default),
        ("dev", Clear(NODEV)),
        ("diratime", Clear(NODIRATIME)),
        ("dirsync", Superblock("dirsync")),
        ("exec", Clear(NOEXEC)),
        ("iversion", Default),
        ("lazytime", Superblock("lazytime")),
        ("loud", Default),
        ("mand", Superblock("mand")),
        ("noatime", Set(NOATIME, ATIME)),
        ("nodev", Set(NODEV, 0)),
        ("nodiratime", Set(NODIRATIME, 0)),
        ("noexec", Set(NOEXEC, 0)),
        ("noiversion", Default),
        ("nolazytime", Superblock("nolazytime")),
        ("nomand", Superblock("nomand")),
        ("norelatime", Set(STRICTATIME, ATIME)),
        ("nostrictatime", Set(RELATIME, ATIME)),
        ("nosuid", Set(NOSUID, 0)),
        ("nosymfollow", Set(NOSYMFOLLOW, 0)),
        ("private", Propagation(PRIVATE)),
        ("ratime", SetRecursive(RELATIME, ATIME)),
        ("rbind", Bind { recursive: true }),
        ("rdev", ClearRecursive(NODEV)),
        ("rdiratime", ClearRecursive(NODIRATIME)),
        ("relatime", Set(RELATIME, ATIME)),
        ("remount", Remount),
        ("rexec", ClearRecursive(NOEXEC)),
        ("rnoatime", SetRecursive(NOATIME, ATIME)),
        ("rnodev", SetRecursive(NODEV, 0)),
        ("rnodiratime", SetRecursive(NODIRATIME, 0)),
        ("rnoexec", SetRecursive(NOEXEC, 0)),
        ("rnorelatime", SetRecursive(STRICTATIME, ATIME)),
        ("rnostrictatime", SetRecursive(RELATIME, ATIME)),
        ("rnosuid", SetRecursive(NOSUID, 0)),
        ("rnosymfollow", SetRecursive(NOSYMFOLLOW, 0)),
        ("ro", Set(RDONLY, 0)),
        ("rprivate", Propagation(PRIVATE | RECURSIVE)),
        ("rrelatime", SetRecursive(RELATIME, ATIME)),
        ("rro", SetRecursive(RDONLY, 0)),
        ("rrw", ClearRecursive(RDONLY)),
        ("rshared", Propagation(SHARED | RECURSIVE)),
        ("rslave", Propagation(SLAVE | RECURSIVE)),
        ("rstrictatime", SetRecursive(STRICTATIME, ATIME)),
        ("rsuid", ClearRecursive(NOSUID)),
        ("rsymfollow", ClearRecursive(NOSYMFOLLOW)),
        ("runbindable", Propagation(UNBINDABLE | RECURSIVE)),
        ("rw", Clear(RDONLY)),
        ("shared", Propagation(SHARED)),
        ("silent", Default),
        ("slave", Propagation(SLAVE)),
        ("strictatime", Set(STRICTATIME, ATIME)),
        ("suid", Clear(NOSUID)),
        ("symfollow", Clear(NOSYMFOLLOW)),
        ("sync", Superblock("sync")),
        ("unbindable", Propagation(UNBINDABLE)),
    ]
};

/// The names, for `features`.
pub const OPTION_NAMES: [&str; 60] = {
    let mut names = ["tmpcopyup"; 60];
    let mut at = 0;
    while at < OPTIONS.len() {
        names[at] = OPTIONS[at].0;
        at += 1;
    }
    names
};

/// The parsed options of one mount.
#[derive(Default)]
struct Options<'a> {
    attributes: Attributes,
    recursive: Attributes,
    propagation: Vec<u64>,
    superblock: Vec<&'static str>,
    data: Vec<(&'a str, Option<&'a str>)>,
    bind: Option<bool>,
    copy_up: bool,
    remount: bool,
}

impl Options<'_> {
    /// A bind mount, a remount and the cgroups are other mounts of a file system that is there
    /// already: its own options can't be theirs. Those that say what is so anyway do no harm.
    fn refuse_those_of_a_filesystem(&self, what: &str, pointer: Pointer<'_>) -> Result<()> {
        let superblock = self.superblock.iter().copied();
        let changes = superblock.filter(|name| !matches!(*name, "async" | "nolazytime" | "nomand"));
        let Some(name) = self
            .data
            .iter()
            .map(|(name, _)| *name)
            .chain(changes)
            .next()
        else {
            return Ok(());
        };
        Err(Error::config(
            format!("{pointer}/options"),
            format!("{what} mounts cannot have any filesystem-specific options applied: {name}"),
        ))
    }
}

/// The step for the mount at `/mounts/INDEX`. `bundle` is what a relative source is relative to.
pub(super) fn step<'a>(mount: &'a Mount<'a>, index: usize, bundle: &str) -> Result<MountStep<'a>> {
    let pointer = Pointer::element("/mounts", index);
    let mut options = parse(mount);
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err(Error::config(
            format!("{pointer}/uidMappings"),
            "idmapped mounts are not supported yet",
        ));
    }
    let kind = mount.kind.as_deref().unwrap_or("none");
    let recursive_bind = options
        .bind
        .or_else(|| (kind == "bind" || kind == "rbind").then_some(kind == "rbind"));
    if !options.remount {
        check_below_proc(mount, kind, recursive_bind.is_some(), pointer)?;
    }
    let source = if options.remount {
        options.refuse_those_of_a_filesystem("remount", pointer)?;
        MountSource::Remount
    } else if let Some(recursive) = recursive_bind {
        bind(mount, &options, recursive, pointer, bundle)?
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
        if options.attributes.set & libc::MOUNT_ATTR_RDONLY != 0 && !in_memory(kind) {
            options.superblock.push("ro");
        }
        options
            .data
            .extend(options.superblock.iter().map(|name| (*name, None)));
        MountSource::Filesystem {
            kind,
            source: mount
                .source
                .as_deref()
                .filter(|source| !source.is_empty())
                .unwrap_or(kind),
            options: options.data,
        }
    };
    if options.copy_up && !matches!(source, MountSource::Filesystem { kind: "tmpfs", .. }) {
        return Err(Error::config(
            format!("{pointer}/options"),
            "tmpcopyup is only for new mounts of type tmpfs",
        ));
    }
    Ok(MountStep {
        destination: &mount.destination,
        source,
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation,
        copy_up: options.copy_up,
    })
}

/// A mount in /proc hides from the container, and from whoever looks into it, what the kernel says
/// there, or what it is told there (CVE-2019-16884). Emulations of single files are in use: the
/// list is runc's.
fn check_below_proc(mount: &Mount<'_>, kind: &str, bind: bool, pointer: Pointer<'_>) -> Result<()> {
    const EMULATED: [&str; 11] = [
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
    let destination = clean(&mount.destination);
    let new_proc = kind == "proc" && !bind;
    let refusal = match destination.split_once('/') {
        None if destination == "proc" && !new_proc && !bind => "it is not of type proc",
        Some(("proc", file)) if !new_proc && !EMULATED.contains(&file) => "it is inside /proc",
        _ => return Ok(()),
    };
    Err(Error::config(
        format!("{pointer}/destination"),
        format!(
            "{:?} cannot be mounted because {refusal}",
            mount.destination
        ),
    ))
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
    Ok(MountSource::Bind { path, recursive })
}

fn parse<'a>(mount: &'a Mount<'a>) -> Options<'a> {
    let mut parsed = Options::default();
    for option in &mount.options {
        if option.is_empty() {
            continue;
        }
        match effect(option) {
            Some(Effect::Set(set, group)) => change(&mut parsed.attributes, set, group),
            Some(Effect::Clear(clear)) => unset(&mut parsed.attributes, clear),
            Some(Effect::SetRecursive(set, group)) => change(&mut parsed.recursive, set, group),
            Some(Effect::ClearRecursive(clear)) => unset(&mut parsed.recursive, clear),
            Some(Effect::Propagation(flags)) => parsed.propagation.push(flags),
            Some(Effect::Superblock(name)) => parsed.superblock.push(name),
            Some(Effect::Bind { recursive }) => parsed.bind = Some(recursive),
            Some(Effect::CopyUp) => parsed.copy_up = true,
            Some(Effect::Remount) => parsed.remount = true,
            Some(Effect::Default) => {}
            // Since Linux 4.7 every devpts is a new instance, asked for or not.
            None if &**option == "newinstance" => {}
            None => parsed.data.push(match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            }),
        }
    }
    parsed
}

fn effect(name: &str) -> Option<Effect> {
    if name == "tmpcopyup" {
        return Some(Effect::CopyUp);
    }
    OPTIONS
        .binary_search_by(|(known, _)| (*known).cmp(name))
        .ok()
        .map(|at| OPTIONS[at].1)
}

/// mount_setattr(2) wants the whole atime group cleared when one of it is set.
fn change(attributes: &mut Attributes, set: u64, group: u64) {
    attributes.set = (attributes.set & !group) | set;
    attributes.clear = (attributes.clear & !set) | group;
}

fn unset(attributes: &mut Attributes, clear: u64) {
    attributes.set &= !clear;
    attributes.clear |= clear;
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

    #[test]
    fn the_table_is_sorted_for_binary_search() {
        assert!(OPTIONS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn the_last_of_contradicting_options_wins() {
        let mount = mount("tmpfs", &["ro", "rw", "noatime", "strictatime", "size=1m"]);
        let step = step(&mount, 0, "/b").unwrap();
        assert_eq!(step.attributes.set, libc::MOUNT_ATTR_STRICTATIME);
        assert_eq!(step.attributes.clear, libc::MOUNT_ATTR_RDONLY | ATIME);
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
    fn options_of_a_filesystem_are_for_new_ones() {
        for (kind, option) in [("bind", "bind"), ("none", "remount"), ("cgroup", "ro")] {
            for refused in [
                "size=1m",
                "sync",
                "dirsync",
                "mand",
                "lazytime",
                "tmpcopyup",
            ] {
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
    fn a_bind_mount_takes_no_data_and_resolves_in_the_bundle() {
        let bad = mount("bind", &["rbind", "size=1m"]);
        let error = step(&bad, 3, "/b").unwrap_err().to_string();
        assert!(error.contains("/mounts/3/options"), "{error}");
        let good = mount("none", &["rbind", "rro", "rslave"]);
        let step = step(&good, 0, "/b").unwrap();
        assert!(matches!(
            step.source,
            MountSource::Bind { ref path, recursive: true } if path == "/b/source"
        ));
        assert_eq!(step.recursive.set, libc::MOUNT_ATTR_RDONLY);
        assert_eq!(step.propagation, [libc::MS_SLAVE | libc::MS_REC]);
    }
}
