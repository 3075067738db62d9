//! Bind mounts that differ from what they show: in owners, in flags. Of the chapter `mounts`.

use std::fs;
use std::os::unix::fs::chown;

use serde_json::{Value, json};

use super::mounts::{expect, mount_below};
use crate::case::{CRUN, Case, Known, RUNC, Verdict, check, equal};
use crate::harness::Context;

/// This part's cases.
pub const CASES: &[Case] = &[
    Case::should(
        "mounts/idmapped",
        "uidMappings and gidMappings of a mount change the owners that it shows, and no others",
        "binds a directory of uid 100 with three ranges, and once more without",
        idmapped,
    )
    .clause(
        "config.md",
        "POSIX-platform Mounts",
        "The mapping to convert UIDs from the source file system to the destination mount point",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "older than idmapped mounts without a user namespace",
    }]),
    Case::should(
        "mounts/ridmap",
        "ridmap maps the owners of the mounts below as well, idmap does not",
        "binds a directory with a tmpfs below it with idmap and with ridmap",
        recursively_idmapped,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "ridmap | SHOULD | an idmapping applied, and the mapping is applied recursively",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "older than idmapped mounts without a user namespace",
        },
        Known {
            runtimes: CRUN,
            why: "idmap holds for the mounts below as well",
        },
    ]),
    Case::contract(
        "mounts/bind-flags",
        "a bind mount keeps its source's flags unless an option names one",
        "the host mounts a noexec, read-only tmpfs; binds it bare and with nosuid",
        bind_flags,
    )
    .clause(
        "runc",
        "mounts_sshfs.bats",
        "mount(8)-like behaviour: any flag clears those that are not named",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "a bare bind mount loses its source's flags",
    }]),
];

fn map(ranges: &[(u32, u32, u32)]) -> Value {
    ranges
        .iter()
        .map(|(disk, host, size)| json!({ "containerID": disk, "hostID": host, "size": size }))
        .collect()
}

fn idmapped(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    fs::create_dir(&source)?;
    chown(&source, Some(100), Some(211))?;
    bundle.add_mount(json!({
        "destination": "/mapped", "type": "bind", "source": source, "options": ["bind", "idmap"],
        "uidMappings": map(&[(0, 7, 1), (100, 1000, 1), (200, 3000, 9)]),
        "gidMappings": map(&[(200, 2000, 50)]),
    }));
    bundle.add_mount(json!({
        "destination": "/plain", "type": "bind", "source": source, "options": ["bind"],
    }));
    let seen = context.see(bundle, &["stat:/mapped", "stat:/plain"])?;
    let owners = |question: &str| seen.answer(question).status.map(|of| (of.uid, of.gid));
    equal("with mappings", owners("stat:/mapped"), Some((1000, 2011)))?;
    equal("without", owners("stat:/plain"), Some((100, 211)))
}

fn recursively_idmapped(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    mount_below(&source)?;
    for (place, option) in [("/top", "idmap"), ("/all", "ridmap")] {
        bundle.add_mount(json!({
            "destination": place, "type": "bind", "source": source, "options": ["rbind", option],
            "uidMappings": map(&[(0, 1000, 1)]), "gidMappings": map(&[(0, 2000, 1)]),
        }));
    }
    let questions = [
        "stat:/top",
        "stat:/top/below",
        "stat:/all",
        "stat:/all/below",
    ];
    let seen = context.see(bundle, &questions)?;
    for (question, wanted) in questions.iter().zip([1000, 0, 1000, 1000]) {
        let uid = seen.answer(question).status.map(|status| status.uid);
        equal(question, uid, Some(wanted))?;
    }
    Ok(())
}

fn bind_flags(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    mount_below(&source)?;
    let below = source.join("below");
    let flags = rustix::mount::MountFlags::BIND
        | rustix::mount::MountFlags::RDONLY
        | rustix::mount::MountFlags::NOEXEC;
    rustix::mount::mount_remount(&below, flags, "")?;
    for (place, options) in [("/bare", &["bind"][..]), ("/named", &["bind", "nosuid"])] {
        bundle.add_mount(json!({
            "destination": place, "type": "bind", "source": below, "options": options,
        }));
    }
    let seen = context.see(bundle, &[])?;
    let bare = expect(&seen.mounts, "/bare")?;
    check(
        bare.has("ro") && bare.has("noexec"),
        format_args!("the bare bind mount has {bare:?}"),
    )?;
    let named = expect(&seen.mounts, "/named")?;
    check(
        named.has("rw") && named.has("nosuid") && !named.has("noexec"),
        format_args!("the bind mount with nosuid has {named:?}"),
    )
}
