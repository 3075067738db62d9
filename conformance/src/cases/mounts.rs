//! `mounts`: file systems, bind mounts, options, propagation, order.

use std::fs;

use serde_json::json;

use crate::case::{CRUN, Case, Known, RUNC, Verdict, check, equal, fail};
use crate::harness::Context;
use crate::probe::Mount;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::should(
        "mounts/default-file-systems",
        "/proc, /sys, /dev/pts and /dev/shm are there",
        "looks at the types of the four mounts that the base config asks for",
        default_file_systems,
    )
    .clause(
        "config-linux.md",
        "Default Filesystems",
        "The following filesystems SHOULD be made available",
    ),
    Case::must(
        "mounts/order",
        "mounts are made in the listed order",
        "mounts a tmpfs at /a and one at /a/b: the other way round /a would hide /a/b",
        order,
    )
    .clause(
        "config.md",
        "Mounts",
        "The runtime MUST mount entries in the listed order",
    ),
    Case::must(
        "mounts/same-destination-twice",
        "of two mounts at one place the later one is on top",
        "mounts two tmpfs of different sizes at /mnt",
        twice,
    )
    .clause(
        "config.md",
        "Mounts",
        "The runtime MUST mount entries in the listed order",
    ),
    Case::contract(
        "mounts/destination-created",
        "a destination that the image lacks is made: a directory, or a file for a file",
        "binds a directory and a file to paths of which nothing is there",
        destination_created,
    )
    .clause(
        "runc",
        "mounts",
        "missing mount points are created below the root",
    ),
    Case::must(
        "mounts/relative-destination",
        "a relative destination counts from the root",
        "mounts a tmpfs at `mnt/inner`",
        relative_destination,
    )
    .clause(
        "config.md",
        "Mounts",
        "it MUST be interpreted as relative to \"/\"",
    ),
    Case::must(
        "mounts/relative-source",
        "a relative source of a bind mount counts from the bundle",
        "binds `shared` of the bundle, with the caller's directory elsewhere",
        relative_source,
    )
    .clause(
        "config.md",
        "Mounts",
        "either absolute or relative to the bundle",
    ),
    Case::must(
        "mounts/tmpfs-options",
        "options that are the file system's own reach it",
        "mounts a tmpfs with size, nr_inodes, mode, uid and gid",
        tmpfs_options,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "Runtimes SHOULD treat unknown options as filesystem-specific",
    ),
    Case::must(
        "mounts/tmpfs-mode",
        "a tmpfs with mode= has that mode, whatever the image's directory has",
        "mounts a tmpfs with mode=1730 over a directory of mode 0755",
        tmpfs_mode,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "Runtimes SHOULD treat unknown options as filesystem-specific",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "gives it the mode of the image's directory",
    }]),
    Case::must(
        "mounts/flags",
        "nosuid, nodev, noexec, ro and noatime are set",
        "mounts a tmpfs with all five and reads mountinfo",
        flags,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "Runtimes MUST/SHOULD/MAY implement the following option",
    ),
    Case::must(
        "mounts/bind-read-only",
        "a bind mount with ro can't be written to",
        "binds a directory of the host with ro, and writes",
        bind_read_only,
    )
    .clause("config.md", "Linux mount options", "ro | MUST"),
    Case::must(
        "mounts/bind-read-write",
        "what is written to a bind mount is on the host",
        "creates a file below a bind mount and looks for it outside",
        bind_read_write,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "bind | MUST | Bind mount",
    ),
    Case::must(
        "mounts/bind-without-type",
        "a bind mount needs no type",
        "leaves `type` out, as the spec allows",
        bind_without_type,
    )
    .clause(
        "config.md",
        "Mounts",
        "A mount is a bind mount if it has either bind or rbind in the options",
    ),
    Case::must(
        "mounts/bind-file",
        "a single file can be bound",
        "binds a file of the host over /etc/motd, as engines do with /etc/hosts",
        bind_file,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "bind | MUST | Bind mount",
    ),
    Case::must(
        "mounts/rbind",
        "rbind takes the mounts below along, bind does not",
        "the host mounts a tmpfs below the source, in a mount namespace of the case's own",
        recursive_bind,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "rbind | MUST | Recursive bind mount",
    ),
    Case::must(
        "mounts/bind-noexec",
        "a bind mount with noexec runs no program",
        "binds the directory of the probe with noexec and executes it",
        bind_noexec,
    )
    .clause("config.md", "Linux mount options", "noexec | MUST"),
    Case::must(
        "mounts/propagation",
        "private, slave, shared and unbindable set a mount's propagation",
        "binds one directory four times and reads mountinfo's optional fields",
        propagation,
    )
    .clause("config.md", "Linux mount options", "shared | MUST")
    .known(&[Known {
        runtimes: CRUN,
        why: "a mount with `shared` ends up private",
    }]),
    Case::must(
        "mounts/invisible-outside",
        "none of the container's mounts shows outside",
        "reads the host's mountinfo while the container runs",
        invisible_outside,
    )
    .clause(
        "config-linux.md",
        "Namespaces",
        "the container will have an isolated mount table",
    ),
    Case::contract(
        "mounts/missing-source",
        "a bind mount whose source is not there is an error that names it",
        "binds /no/such/source",
        missing_source,
    )
    .clause(
        "runtime.md",
        "Create",
        "If the runtime cannot apply a property [...] MUST generate an error",
    ),
    Case::contract(
        "mounts/symlink-destination",
        "a destination with a link in it stays below the root",
        "the image has /var/run -> /run; a tmpfs is mounted at /var/run/inner",
        symlink_destination,
    )
    .clause(
        "security",
        "CVE-2021-30465",
        "mount destination swapped for a symlink",
    ),
    Case::contract(
        "mounts/tmpcopyup",
        "tmpcopyup fills a tmpfs with what the image has there",
        "mounts a tmpfs with tmpcopyup at /etc",
        tmpcopyup,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "tmpcopyup | MAY | copy up the contents to a tmpfs",
    ),
    Case::contract(
        "mounts/cgroup-read-only",
        "a cgroup mount with ro shows the container's cgroup and can't be written to",
        "mounts `cgroup` at /sys/fs/cgroup as engines do",
        cgroup_read_only,
    )
    .clause(
        "runc",
        "mounts of type cgroup",
        "Docker mounts it in every container",
    ),
    Case::should(
        "mounts/recursive-read-only",
        "rro makes a recursive bind mount read-only with all that is below it",
        "binds a directory with a tmpfs below it with rbind and rro",
        recursive_read_only,
    )
    .clause(
        "config.md",
        "Linux mount options",
        "rro | SHOULD | Recursive ro",
    ),
];

pub(super) fn expect<'a>(mounts: &'a [Mount], point: &str) -> Result<&'a Mount, crate::case::Stop> {
    match mounts.iter().rev().find(|mount| mount.point == point) {
        Some(mount) => Ok(mount),
        None => fail(format_args!("nothing is mounted at {point}")),
    }
}

fn default_file_systems(context: &Context) -> Verdict {
    let seen = context.see_with(&["stat:/proc/self", "stat:/dev/pts/ptmx"], |_| {})?;
    for (point, kind) in [
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
    ] {
        equal(point, expect(&seen.mounts, point)?.kind.as_str(), kind)?;
    }
    equal("/proc/self", seen.answer("stat:/proc/self").kind(), "link")?;
    equal(
        "/dev/pts/ptmx",
        seen.answer("stat:/dev/pts/ptmx").kind(),
        "character",
    )
}

fn order(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    for place in ["/a", "/a/b"] {
        bundle.add_mount(json!({ "destination": place, "type": "tmpfs", "source": "tmpfs" }));
    }
    let seen = context.see(bundle, &["stat:/a", "stat:/a/b"])?;
    let number = |place: &str| seen.mounts.iter().position(|mount| mount.point == place);
    check(number("/a") < number("/a/b"), "/a/b was mounted before /a")?;
    let device = |question: &str| {
        seen.answer(question)
            .status
            .map(|status| status.file_system)
    };
    check(
        device("stat:/a/b").is_some() && device("stat:/a") != device("stat:/a/b"),
        "the mount at /a/b can't be reached",
    )
}

fn twice(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    for size in ["size=4096", "size=8192"] {
        bundle.add_mount(json!({
            "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": [size],
        }));
    }
    let seen = context.see(bundle, &[])?;
    check(
        expect(&seen.mounts, "/mnt")?.has("size=8k"),
        "the first mount at /mnt is on top",
    )
}

fn destination_created(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    fs::create_dir(&source)?;
    fs::write(source.join("file"), "bound")?;
    bundle.add_mount(json!({
        "destination": "/new/place/directory", "type": "bind", "source": source,
        "options": ["rbind"],
    }));
    bundle.add_mount(json!({
        "destination": "/new/place/file", "type": "bind", "source": source.join("file"),
        "options": ["rbind"],
    }));
    let seen = context.see(
        bundle,
        &["read:/new/place/directory/file", "read:/new/place/file"],
    )?;
    equal(
        "file",
        seen.answer("read:/new/place/directory/file").text.as_str(),
        "bound",
    )?;
    equal(
        "file",
        seen.answer("read:/new/place/file").text.as_str(),
        "bound",
    )
}

fn relative_destination(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({ "destination": "mnt/inner", "type": "tmpfs", "source": "tmpfs" }));
    let seen = context.see(bundle, &[])?;
    equal(
        "type",
        expect(&seen.mounts, "/mnt/inner")?.kind.as_str(),
        "tmpfs",
    )
}

fn relative_source(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    fs::create_dir(bundle.directory.join("shared"))?;
    fs::write(bundle.directory.join("shared/file"), "of the bundle")?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "bind", "source": "shared", "options": ["rbind"],
    }));
    let seen = context.see(bundle, &["read:/mnt/file"])?;
    equal(
        "file",
        seen.answer("read:/mnt/file").text.as_str(),
        "of the bundle",
    )
}

fn tmpfs_options(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "size=64k", "nr_inodes=10", "mode=1730", "uid=1000", "gid=1001"],
    }));
    let seen = context.see(bundle, &["stat:/scratch"])?;
    let mount = expect(&seen.mounts, "/scratch")?;
    for option in ["size=64k", "nr_inodes=10"] {
        check(
            mount.has(option),
            format_args!("{option} is not set: {mount:?}"),
        )?;
    }
    let status = seen.answer("stat:/scratch").status.unwrap_or_default();
    equal(
        "mode, uid and gid",
        (status.mode, status.uid, status.gid),
        (0o1730, 1000, 1001),
    )
}

fn tmpfs_mode(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1730"],
    }));
    let seen = context.see(bundle, &["stat:/mnt"])?;
    equal(
        "mode",
        seen.answer("stat:/mnt").status.map(|status| status.mode),
        Some(0o1730),
    )
}

fn flags(context: &Context) -> Verdict {
    let options = ["nosuid", "nodev", "noexec", "ro", "noatime"];
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": options,
    }));
    let seen = context.see(bundle, &["create:/mnt/file"])?;
    let mount = expect(&seen.mounts, "/mnt")?;
    for option in options {
        check(
            mount.has(option),
            format_args!("{option} is not set: {mount:?}"),
        )?;
    }
    equal(
        "errno",
        seen.answer("create:/mnt/file").errno,
        Some(libc::EROFS),
    )
}

fn bind_read_only(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    fs::create_dir(&source)?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "bind", "source": source, "options": ["bind", "ro"],
    }));
    let seen = context.see(bundle, &["create:/mnt/file"])?;
    equal(
        "errno",
        seen.answer("create:/mnt/file").errno,
        Some(libc::EROFS),
    )
}

fn bind_read_write(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    fs::create_dir(&source)?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "bind", "source": source, "options": ["bind", "rw"],
    }));
    let seen = context.see(bundle, &["create:/mnt/file"])?;
    check(
        seen.answer("create:/mnt/file").worked(),
        "the probe could not create a file",
    )?;
    check(source.join("file").exists(), "the file is not on the host")
}

fn bind_without_type(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/mnt", "source": bundle.rootfs().join("etc"), "options": ["bind"],
    }));
    let seen = context.see(bundle, &["read:/mnt/motd"])?;
    equal(
        "file",
        seen.answer("read:/mnt/motd").text.as_str(),
        "conformance\n",
    )
}

fn bind_file(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("hosts");
    fs::write(&source, "127.0.0.1 localhost\n")?;
    bundle.add_mount(json!({
        "destination": "/etc/motd", "type": "bind", "source": source,
        "options": ["rbind", "rprivate"],
    }));
    let rootfs = bundle.rootfs();
    let seen = context.see(bundle, &["read:/etc/motd"])?;
    equal(
        "file",
        seen.answer("read:/etc/motd").text.as_str(),
        "127.0.0.1 localhost\n",
    )?;
    let image = fs::read_to_string(rootfs.join("etc/motd"))?;
    equal("the image's file", image.as_str(), "conformance\n")
}

/// Mounts a tmpfs with a file below `source` in a mount namespace that only this case's process
/// and its children see.
pub(super) fn mount_below(source: &std::path::Path) -> Verdict {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    crate::sys::unshare(libc::CLONE_NEWNS)?;
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )?;
    fs::create_dir_all(source.join("below"))?;
    mount(
        "tmpfs",
        source.join("below"),
        "tmpfs",
        MountFlags::empty(),
        None,
    )?;
    fs::write(source.join("below/file"), "below")?;
    Ok(())
}

fn recursive_bind(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    mount_below(&source)?;
    for (place, option) in [("/with", "rbind"), ("/without", "bind")] {
        bundle.add_mount(json!({
            "destination": place, "type": "bind", "source": source, "options": [option],
        }));
    }
    let seen = context.see(
        bundle,
        &["read:/with/below/file", "stat:/without/below/file"],
    )?;
    equal(
        "with rbind",
        seen.answer("read:/with/below/file").text.as_str(),
        "below",
    )?;
    equal(
        "with bind",
        seen.answer("stat:/without/below/file").errno,
        Some(libc::ENOENT),
    )
}

fn recursive_read_only(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    mount_below(&source)?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "bind", "source": source, "options": ["rbind", "rro"],
    }));
    let seen = context.see(bundle, &["create:/mnt/new", "create:/mnt/below/new"])?;
    equal(
        "at the top",
        seen.answer("create:/mnt/new").errno,
        Some(libc::EROFS),
    )?;
    equal(
        "below",
        seen.answer("create:/mnt/below/new").errno,
        Some(libc::EROFS),
    )
}

fn bind_noexec(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let programs = context.directory.join("programs");
    fs::create_dir(&programs)?;
    fs::hard_link(&context.probe, programs.join("probe"))?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "bind", "source": programs,
        "options": ["bind", "noexec"],
    }));
    let seen = context.see(bundle, &["execute:/mnt/probe", "execute:/probe"])?;
    check(
        seen.answer("execute:/probe").worked(),
        "the probe can't be executed at all",
    )?;
    equal(
        "errno",
        seen.answer("execute:/mnt/probe").errno,
        Some(libc::EACCES),
    )
}

fn propagation(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let source = context.directory.join("source");
    fs::create_dir(&source)?;
    for kind in ["private", "slave", "shared", "unbindable"] {
        bundle.add_mount(json!({
            "destination": format!("/{kind}"), "type": "bind", "source": source,
            "options": ["bind", kind],
        }));
    }
    let seen = context.see(bundle, &[])?;
    let field = |place: &str| expect(&seen.mounts, place).map(|mount| mount.propagation.join(" "));
    let shared = field("/shared")?;
    check(
        shared.contains("shared:"),
        format_args!("/shared is {shared:?}"),
    )?;
    for place in ["/private", "/slave"] {
        let seen = field(place)?;
        check(
            !seen.contains("shared:"),
            format_args!("{place} is {seen:?}"),
        )?;
    }
    equal("/unbindable", field("/unbindable")?.as_str(), "unbindable")
}

fn invisible_outside(context: &Context) -> Verdict {
    let _container = context.started(context.bundle()?)?;
    let below = context.directory.to_string_lossy().into_owned();
    let mounts = crate::harness::mounts();
    let seen = mounts.iter().find(|mount| mount.point.starts_with(&below));
    check(seen.is_none(), format_args!("the host sees {seen:?}"))
}

fn missing_source(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "bind", "source": "/no/such/source", "options": ["rbind"],
    }));
    let output = context.must_refuse(&bundle)?;
    check(
        output.stderr().contains("/no/such/source") || output.stderr().contains("no such file"),
        format_args!(
            "the message does not say what is missing: {}",
            output.description()
        ),
    )
}

fn symlink_destination(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let rootfs = bundle.rootfs();
    fs::create_dir(rootfs.join("run"))?;
    std::os::unix::fs::symlink("/run", rootfs.join("var/run"))?;
    bundle
        .add_mount(json!({ "destination": "/var/run/inner", "type": "tmpfs", "source": "tmpfs" }));
    let seen = context.see(bundle, &[])?;
    equal(
        "type",
        expect(&seen.mounts, "/run/inner")?.kind.as_str(),
        "tmpfs",
    )?;
    check(
        rootfs.join("run/inner").exists(),
        "the mount point is not below the root",
    )
}

fn tmpcopyup(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"],
    }));
    let seen = context.see(bundle, &["read:/etc/motd", "create:/etc/new"])?;
    equal("type", expect(&seen.mounts, "/etc")?.kind.as_str(), "tmpfs")?;
    equal(
        "file",
        seen.answer("read:/etc/motd").text.as_str(),
        "conformance\n",
    )?;
    check(
        seen.answer("create:/etc/new").worked(),
        "the copy can't be written to",
    )
}

fn cgroup_read_only(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
    }));
    let (v1, v2) = ("mkdir:/sys/fs/cgroup/pids/new", "mkdir:/sys/fs/cgroup/new");
    let (v1_file, v2_file) = (
        "read:/sys/fs/cgroup/pids/cgroup.procs",
        "read:/sys/fs/cgroup/cgroup.procs",
    );
    let seen = context.see(bundle, &[v1, v2, v1_file, v2_file])?;
    let is_v1 = context.host.cgroup_v1.contains("pids");
    let (question, file) = if is_v1 { (v1, v1_file) } else { (v2, v2_file) };
    check(
        seen.answer(file).worked(),
        "no cgroup.procs is there to read",
    )?;
    equal(
        "errno of mkdir",
        seen.answer(question).errno,
        Some(libc::EROFS),
    )
}
