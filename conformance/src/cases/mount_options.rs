//! Each of mount(8)'s options that a runtime must know.

use serde_json::json;

use crate::case::{CRUN, Case, Known, RUNC, Stop, Verdict, check, fail};
use crate::harness::Context;
use crate::probe::Mount;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "mounts/every-option",
        "every option of the table's MUST rows is taken, and does what it says",
        "mounts a tmpfs with each of them and reads its line in mountinfo",
        every_option,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "The \"MUST\" options correspond to mount(8).",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "hands `defaults` to the file system, which refuses it",
        },
        Known {
            runtimes: CRUN,
            why: "`atime` does not undo `noatime`",
        },
    ]),
    Case::must(
        "mounts/one-mapping",
        "a mount with one of uidMappings and gidMappings alone is refused",
        "leaves out either",
        one_mapping,
    )
    .clause(
        "config.md",
        "POSIX-platform Mounts",
        "If specified, it MUST be specified along with gidMappings.",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "older than runc 1.2, knows no idmapped mounts, and ignores the mappings",
    }]),
];

/// What is seen of an option.
enum Effect {
    /// This word is in the mount's options.
    Mount(&'static str),
    /// This word is not there.
    NotMount(&'static str),
    /// This word is in the file system's options.
    FileSystem(&'static str),
    /// A word that begins like this is among the propagation fields.
    Propagation(&'static str),
    /// No such field is there.
    Private,
    /// Nothing: it is what a mount is like anyway, or the kernel shows it nowhere.
    Nothing,
}

use Effect::{FileSystem, Mount as Is, NotMount, Nothing, Private, Propagation};

/// Options that undo what another sets come after that.
const OPTIONS: &[(&[&str], Effect)] = &[
    (&["async"], Nothing),
    (&["sync"], FileSystem("sync")),
    (&["noatime", "atime"], NotMount("noatime")),
    (&["noatime"], Is("noatime")),
    (&["defaults"], Nothing),
    (&["nodev", "dev"], NotMount("nodev")),
    (&["nodev"], Is("nodev")),
    (&["nodiratime", "diratime"], NotMount("nodiratime")),
    (&["nodiratime"], Is("nodiratime")),
    (&["dirsync"], FileSystem("dirsync")),
    (&["noexec", "exec"], NotMount("noexec")),
    (&["noexec"], Is("noexec")),
    (&["iversion"], Nothing),
    (&["noiversion"], Nothing),
    (&["lazytime"], FileSystem("lazytime")),
    (&["nolazytime"], Nothing),
    (&["loud"], Nothing),
    (&["silent"], Nothing),
    (&["relatime"], Is("relatime")),
    (&["norelatime"], Nothing),
    (&["strictatime"], NotMount("relatime")),
    (&["nostrictatime"], Nothing),
    (&["nosuid", "suid"], NotMount("nosuid")),
    (&["nosuid"], Is("nosuid")),
    (&["ro", "rw"], Is("rw")),
    (&["ro"], Is("ro")),
    (&["private"], Private),
    (&["rprivate"], Private),
    (&["shared"], Propagation("shared:")),
    (&["rshared"], Propagation("shared:")),
    (&["slave"], Private),
    (&["rslave"], Private),
    (&["unbindable"], Propagation("unbindable")),
    (&["runbindable"], Propagation("unbindable")),
];

fn every_option(context: &Context) -> Verdict {
    for (options, effect) in OPTIONS {
        let mut bundle = context.bundle()?;
        bundle.add_mount(json!({
            "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": options,
        }));
        let seen = context.see(bundle, &[]).map_err(|stop| match stop {
            Stop::Failed(why) => Stop::Failed(format!("{options:?}: {why}")),
            other => other,
        })?;
        let Some(mount) = seen.mounts.iter().rfind(|mount| mount.point == "/mnt") else {
            return fail(format_args!("{options:?}: nothing is mounted"));
        };
        check(
            effect.shows(mount),
            format_args!("{options:?} did not do what it says: {mount:?}"),
        )?;
    }
    remount(context)
}

impl Effect {
    fn shows(&self, mount: &Mount) -> bool {
        let mut propagation = mount.propagation.iter();
        match self {
            Is(word) => mount.options.iter().any(|option| option == word),
            NotMount(word) => mount.options.iter().all(|option| option != word),
            FileSystem(word) => mount.super_options.iter().any(|option| option == word),
            Propagation(word) => propagation.any(|field| field.starts_with(word)),
            Private => propagation.len() == 0,
            Nothing => true,
        }
    }
}

/// `remount` changes a mount that an earlier entry has made.
fn remount(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    for options in [&["nosuid"][..], &["remount", "nosuid", "ro"]] {
        bundle.add_mount(json!({
            "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": options,
        }));
    }
    let seen = context.see(bundle, &["create:/mnt/file"])?;
    let mounts = seen.mounts.iter().filter(|mount| mount.point == "/mnt");
    check(mounts.count() == 1, "remount made a second mount")?;
    check(
        seen.answer("create:/mnt/file").errno == Some(libc::EROFS),
        "remount with ro left the mount writable",
    )
}

fn one_mapping(context: &Context) -> Verdict {
    let source = context.directory.join("source");
    std::fs::create_dir(&source)?;
    for mappings in ["uidMappings", "gidMappings"] {
        let mut bundle = context.bundle()?;
        let mut mount = json!({
            "destination": "/mnt", "type": "bind", "source": source, "options": ["bind"],
        });
        mount[mappings] = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
        bundle.add_mount(mount);
        context.must_refuse(&bundle)?;
    }
    Ok(())
}
