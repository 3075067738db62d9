//! The default devices, `linux.devices`, and the links in /dev.

use std::fs;

use serde_json::json;

use crate::case::{CRUN, Case, Known, RUNC, Verdict, check, equal};
use crate::harness::Context;
use crate::probe::FileStatus;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "devices/default",
        "null, zero, full, random, urandom and tty are there",
        "looks at type, numbers and mode of each",
        default,
    )
    .clause(
        "config-linux.md",
        "Default Devices",
        "the runtime MUST also supply",
    ),
    Case::must(
        "devices/default-work",
        "the default devices can be used",
        "reads 65536 zeros, writes to null, and gets ENOSPC from full",
        default_work,
    )
    .clause(
        "config-linux.md",
        "Default Devices",
        "the runtime MUST also supply",
    ),
    Case::must(
        "devices/ptmx",
        "/dev/ptmx is the container's own multiplexer",
        "follows the link or bind mount to /dev/pts/ptmx",
        multiplexer,
    )
    .clause(
        "config-linux.md",
        "Default Devices",
        "A bind-mount or symlink of the container's /dev/pts/ptmx",
    ),
    Case::must(
        "devices/links",
        "/dev/fd, stdin, stdout and stderr are links into /proc/self/fd",
        "reads the four links",
        links,
    )
    .clause(
        "runtime-linux.md",
        "Dev symbolic links",
        "runtimes MUST create the following symlinks",
    ),
    Case::must(
        "devices/configured",
        "what linux.devices lists is there, with its numbers, mode and owner",
        "lists a character device 1:5, a block device 7:0 and a fifo",
        configured,
    )
    .clause(
        "config-linux.md",
        "Devices",
        "lists devices that MUST be available in the container",
    ),
    Case::must(
        "devices/outside-dev",
        "a device may be anywhere",
        "asks for /srv/inner/zero, of which nothing is there",
        outside_dev,
    )
    .clause(
        "config-linux.md",
        "Devices",
        "The path MAY be anywhere in the container filesystem",
    ),
    Case::contract(
        "devices/redundant",
        "a default device that is listed again is no error",
        "lists /dev/null, /dev/tty and /dev/ptmx as containerd and podman may",
        redundant,
    )
    .clause(
        "runc contract",
        "dev",
        "redundant /dev/tty and /dev/ptmx in linux.devices",
    ),
    Case::must(
        "devices/conflict",
        "a file of the image at a device's path is an error",
        "has a regular file /srv/device in the image",
        conflict,
    )
    .clause(
        "config-linux.md",
        "Devices",
        "If a file already exists at path that does not match [...] error",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "leaves the file that mknod(2) finds, without a message",
        },
        Known {
            runtimes: CRUN,
            why: "leaves the file that mknod(2) finds, without a message",
        },
    ]),
    Case::must(
        "devices/denied",
        "a device that the allowed list does not have can't be opened",
        "makes a node 10:237 with linux.devices and denies everything",
        denied,
    )
    .clause(
        "config-linux.md",
        "Allowed Device list",
        "whether the entry is allowed or denied",
    ),
    Case::must(
        "devices/allowed-in-order",
        "later entries of the allowed list override earlier ones",
        "denies all, allows reading 10:237, and allows 10:229 only to deny it again",
        allowed,
    )
    .clause(
        "config-linux.md",
        "Allowed Device list",
        "The runtime MUST apply entries in the listed order",
    ),
    Case::contract(
        "devices/no-console",
        "without a terminal there is no /dev/console of a pseudo-terminal",
        "looks for /dev/console in a container with terminal false",
        no_console,
    )
    .clause(
        "config-linux.md",
        "Default Devices",
        "/dev/console is set up if terminal is enabled",
    ),
];

fn default(context: &Context) -> Verdict {
    let devices = [
        ("stat:/dev/null", [1, 3]),
        ("stat:/dev/zero", [1, 5]),
        ("stat:/dev/full", [1, 7]),
        ("stat:/dev/random", [1, 8]),
        ("stat:/dev/urandom", [1, 9]),
        ("stat:/dev/tty", [5, 0]),
    ];
    let questions: Vec<&str> = devices.iter().map(|(question, _)| *question).collect();
    let seen = context.see_with(&questions, |_| {})?;
    for (question, numbers) in devices {
        let answer = seen.answer(question);
        equal(question, answer.kind(), "character")?;
        let status = answer.status.unwrap_or_default();
        equal(question, (status.device, status.mode), (numbers, 0o666))?;
    }
    Ok(())
}

fn default_work(context: &Context) -> Verdict {
    let questions = [
        "read:/dev/zero",
        "write:/dev/null=x",
        "write:/dev/full=x",
        "open:/dev/urandom",
    ];
    let seen = context.see_with(&questions, |_| {})?;
    equal(
        "bytes of /dev/zero",
        seen.answer("read:/dev/zero").text.len(),
        65_536,
    )?;
    check(
        seen.answer("write:/dev/null=x").worked(),
        "writing to /dev/null failed",
    )?;
    equal(
        "/dev/full",
        seen.answer("write:/dev/full=x").errno,
        Some(libc::ENOSPC),
    )?;
    check(
        seen.answer("open:/dev/urandom").worked(),
        "/dev/urandom can't be opened",
    )
}

fn multiplexer(context: &Context) -> Verdict {
    let seen = context.see_with(
        &["follow:/dev/ptmx", "stat:/dev/pts/ptmx", "open:/dev/ptmx"],
        |_| {},
    )?;
    let (one, other) = (
        seen.answer("follow:/dev/ptmx").status,
        seen.answer("stat:/dev/pts/ptmx").status,
    );
    let place =
        |status: Option<FileStatus>| status.map(|status| (status.file_system, status.inode));
    check(one.is_some(), "/dev/ptmx is missing")?;
    equal("/dev/ptmx", place(one), place(other))?;
    check(
        seen.answer("open:/dev/ptmx").worked(),
        "/dev/ptmx can't be opened",
    )
}

fn links(context: &Context) -> Verdict {
    let links = [
        ("link:/dev/fd", "/proc/self/fd"),
        ("link:/dev/stdin", "/proc/self/fd/0"),
        ("link:/dev/stdout", "/proc/self/fd/1"),
        ("link:/dev/stderr", "/proc/self/fd/2"),
    ];
    let questions: Vec<&str> = links.iter().map(|(question, _)| *question).collect();
    let seen = context.see_with(&questions, |_| {})?;
    for (question, target) in links {
        equal(question, seen.answer(question).text.as_str(), target)?;
    }
    Ok(())
}

fn configured(context: &Context) -> Verdict {
    let questions = ["stat:/dev/mine", "stat:/dev/block", "stat:/dev/fifo"];
    let seen = context.see_with(&questions, |config| {
        config["linux"]["devices"] = json!([
            { "type": "c", "path": "/dev/mine", "major": 1, "minor": 5,
              "fileMode": 0o640, "uid": 1000, "gid": 1001 },
            { "type": "b", "path": "/dev/block", "major": 7, "minor": 0, "fileMode": 0o600 },
            { "type": "p", "path": "/dev/fifo", "fileMode": 0o622 },
        ]);
    })?;
    for (question, kind, mode, numbers, owner) in [
        ("stat:/dev/mine", "character", 0o640, [1, 5], (1000, 1001)),
        ("stat:/dev/block", "block", 0o600, [7, 0], (0, 0)),
        ("stat:/dev/fifo", "fifo", 0o622, [0, 0], (0, 0)),
    ] {
        let answer = seen.answer(question);
        equal(question, answer.kind(), kind)?;
        let status = answer.status.unwrap_or_default();
        equal(question, (status.mode, status.device), (mode, numbers))?;
        equal(question, (status.uid, status.gid), owner)?;
    }
    Ok(())
}

fn outside_dev(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    // Not on the bundle's own file system, which may be mounted with nodev.
    bundle.add_mount(json!({
        "destination": "/srv", "type": "tmpfs", "source": "tmpfs", "options": ["dev"],
    }));
    bundle.config["linux"]["devices"] =
        json!([{ "type": "c", "path": "/srv/inner/zero", "major": 1, "minor": 5 }]);
    bundle.config["linux"]["resources"]["devices"] = json!([{ "allow": true, "access": "rwm" }]);
    let seen = context.see(bundle, &["read:/srv/inner/zero"])?;
    equal(
        "bytes read",
        seen.answer("read:/srv/inner/zero").text.len(),
        65_536,
    )
}

fn redundant(context: &Context) -> Verdict {
    let seen = context.see_with(&["stat:/dev/null", "follow:/dev/ptmx"], |config| {
        config["linux"]["devices"] = json!([
            { "type": "c", "path": "/dev/null", "major": 1, "minor": 3, "fileMode": 0o666 },
            { "type": "c", "path": "/dev/tty", "major": 5, "minor": 0, "fileMode": 0o666 },
            { "type": "c", "path": "/dev/ptmx", "major": 5, "minor": 2, "fileMode": 0o666 },
        ]);
        config["linux"]["resources"]["devices"] = json!([{ "allow": true, "access": "rwm" }]);
    })?;
    equal(
        "/dev/null",
        seen.answer("stat:/dev/null").kind(),
        "character",
    )?;
    equal(
        "/dev/ptmx",
        seen.answer("follow:/dev/ptmx").kind(),
        "character",
    )
}

fn conflict(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    fs::create_dir(bundle.rootfs().join("srv"))?;
    fs::write(bundle.rootfs().join("srv/device"), "a file")?;
    bundle.config["linux"]["devices"] =
        json!([{ "type": "c", "path": "/srv/device", "major": 1, "minor": 5 }]);
    context.must_refuse(&bundle)?;
    Ok(())
}

fn denied(context: &Context) -> Verdict {
    // 10:237 is loop-control; the cgroup is asked before the driver, so EPERM comes on any kernel.
    let question = "open:/dev/denied";
    let seen = context.see_with(&[question], |config| {
        config["linux"]["devices"] = json!([
            { "type": "c", "path": "/dev/denied", "major": 10, "minor": 237, "fileMode": 0o666 },
        ]);
        config["linux"]["resources"]["devices"] = json!([{ "allow": false, "access": "rwm" }]);
    })?;
    equal("errno", seen.answer(question).errno, Some(libc::EPERM))
}

fn allowed(context: &Context) -> Verdict {
    let questions = ["open:/dev/one", "openw:/dev/one", "open:/dev/other"];
    let seen = context.see_with(&questions, |config| {
        config["linux"]["devices"] = json!([
            { "type": "c", "path": "/dev/one", "major": 10, "minor": 237, "fileMode": 0o666 },
            { "type": "c", "path": "/dev/other", "major": 10, "minor": 229, "fileMode": 0o666 },
        ]);
        let rule = |allow: bool, major: i64, minor: i64, access: &str| {
            json!({ "allow": allow, "type": "c", "major": major, "minor": minor, "access": access })
        };
        config["linux"]["resources"]["devices"] = json!([
            { "allow": false, "access": "rwm" },
            rule(true, 10, 237, "r"),
            rule(true, 10, 229, "rw"),
            rule(false, 10, 229, "rw"),
        ]);
    })?;
    let refused = |question: &str| seen.answer(question).errno == Some(libc::EPERM);
    check(
        !refused("open:/dev/one"),
        "reading 10:237 is refused, though it was allowed",
    )?;
    check(
        refused("openw:/dev/one"),
        "writing 10:237 works, though only reading was allowed",
    )?;
    check(
        refused("open:/dev/other"),
        "10:229 can be opened, though it was denied last",
    )
}

fn no_console(context: &Context) -> Verdict {
    let seen = context.see_with(&["stat:/dev/console"], |_| {})?;
    check(
        seen.mount("/dev/console").is_none(),
        format_args!(
            "something is mounted at /dev/console: {:?}",
            seen.mount("/dev/console")
        ),
    )
}
