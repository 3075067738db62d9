//! Images that change while they are set up: a process of the host (in real life: of another
//! container that shares a volume) exchanges a name and a link to the canary all the time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::json;

use crate::case::{CRUN, Case, Known, OLD_RUNC, RUNC, Stop, Verdict, check};
use crate::harness::canary::{Canary, Swapper, starts};
use crate::harness::console::ConsoleSocket;
use crate::harness::{Bundle, Context, observation};
use crate::probe::Observation;

/// This part of the chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "hostile/swapped-destination",
        "a mount point that is swapped for a link all the time never leads outside",
        "20 starts while a process exchanges a directory and a link to the canary",
        destination,
    )
    .clause(
        "security",
        "CVE-2021-30465",
        "swapper thread (renameat2 EXCHANGE) on every mount dest",
    )
    .known(&[Known {
        runtimes: OLD_RUNC,
        why: "is older than the fix of CVE-2024-45310: makes a directory on the host when it \
              loses the race",
    }]),
    Case::contract(
        "hostile/swapped-parent",
        "directories above a missing mount point that are swapped lead nowhere on the host",
        "20 starts with a mount at /data/new/volume while /data is exchanged for a link",
        parent,
    )
    .clause(
        "security",
        "CVE-2024-45310",
        "swapper on parents of mount points; host canary dir unchanged",
    )
    .known(&[Known {
        runtimes: OLD_RUNC,
        why: "is older than the fix of CVE-2024-45310",
    }]),
    Case::contract(
        "hostile/swapped-masked-path",
        "a masked path that is swapped for a link all the time masks nothing outside",
        "20 starts while a process exchanges a file and a link to the canary's",
        masked_path,
    )
    .clause(
        "security",
        "CVE-2025-31133",
        "swapper on masked paths; target never mounted",
    ),
    Case::contract(
        "hostile/swapped-dev-null",
        "a masked file is empty and gives nothing of the host, whatever /dev/null is",
        "20 starts with a volume at /dev in which null is exchanged for a link to the canary",
        dev_null,
    )
    .clause(
        "security",
        "CVE-2025-31133",
        "swapper on /dev/null; masked files read as empty",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "is older than the fix of CVE-2025-31133: masks with whatever /dev/null leads to",
        },
        Known {
            runtimes: CRUN,
            why: "loses the program's output when /dev/null is a link",
        },
    ]),
    Case::contract(
        "hostile/swapped-dev",
        "a /dev that is swapped for a link gets no devices on the host",
        "20 starts without a mount at /dev, while it is exchanged for a link to the canary",
        dev,
    )
    .clause(
        "security",
        "CVE-2026-41579, CVE-2026-47766",
        "rootfs /dev is a symlink: device creation on host",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "older than the fix of CVE-2026-41579: its links land on the host",
        },
        Known {
            runtimes: CRUN,
            why: "older than the fix of CVE-2026-47766 (crun 1.28): its links and devices land on the host",
        },
    ]),
    Case::contract(
        "hostile/swapped-proc",
        "a /proc that is swapped for a link leads no write of the runtime outside",
        "20 starts with a sysctl and masks while /proc is exchanged for a link to a false one",
        proc,
    )
    .clause(
        "security",
        "CVE-2019-19921, CVE-2023-27561, CVE-2023-28642",
        "/proc swapped: masks and labels not applied",
    ),
    Case::contract(
        "hostile/swapped-console",
        "a /dev/console and terminals that are swapped for links are nothing of the host",
        "20 creations with a terminal and volumes at /dev and /dev/pts, in which console and 0 are \
         exchanged for links to the canary's file",
        console,
    )
    .clause(
        "security",
        "CVE-2025-52565",
        "swapper on /dev/pts/*; console inode == pty slave fstat",
    ),
    Case::contract(
        "hostile/swapped-cwd",
        "a process.cwd that is swapped for a link is made inside only",
        "20 starts in /work/here, which is missing, while /work is exchanged for a link",
        working_directory,
    )
    .clause(
        "security",
        "CVE-2024-45310",
        "MkdirAll race creates empty files/dirs on host",
    ),
];

/// Runs the bundle again and again, whatever comes of it, while `name` in its rootfs is exchanged
/// for a link to `target`; looks at the canary, and at what the program saw if it ran.
fn race(
    context: &Context,
    bundle: &mut Bundle,
    (name, target): (PathBuf, PathBuf),
    canary: &Canary,
    questions: &[&str],
    look: Option<fn(&Observation) -> Verdict>,
) -> Verdict {
    let link = name.with_file_name("other");
    symlink(target, &link)?;
    let mut words = vec!["see"];
    words.extend_from_slice(questions);
    bundle.set_probe(&words);
    let _swapper = Swapper::start(&name, &link)?;
    for _ in 0..starts() {
        let (mut container, output) = context.attempt("run", bundle, &[])?;
        if output.worked() {
            container.gone();
            if let Some(look) = look {
                look(&observation(&output)?)?;
            }
        }
        drop(container);
        canary.unharmed()?;
        let _ = fs::remove_file(&output.stdout_file);
        let _ = fs::remove_file(&output.stderr_file);
    }
    Ok(())
}

fn volume(context: &Context) -> Result<PathBuf, Stop> {
    let volume = context.directory.join("volume");
    fs::create_dir(&volume)?;
    Ok(volume)
}

fn destination(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    bundle.add_mount(json!({
        "destination": "/mnt", "type": "bind", "source": volume(context)?, "options": ["rbind"],
    }));
    bundle.add_mount(json!({ "destination": "/mnt/inner", "type": "tmpfs", "source": "tmpfs" }));
    let names = (bundle.rootfs().join("mnt"), canary.directory.clone());
    race(context, &mut bundle, names, &canary, &[], None)
}

fn parent(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    let data = bundle.rootfs().join("data");
    fs::create_dir(&data)?;
    bundle.add_mount(json!({
        "destination": "/data/new/volume", "type": "bind", "source": volume(context)?,
        "options": ["rbind"],
    }));
    bundle.add_mount(json!({
        "destination": "/data/a/file", "type": "bind", "source": "/dev/null", "options": ["bind"],
    }));
    let names = (data, canary.directory.clone());
    race(context, &mut bundle, names, &canary, &[], None)
}

fn masked_path(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    let secret = bundle.rootfs().join("secret");
    fs::write(&secret, "secret")?;
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/secret"]);
    let names = (secret, canary.directory.join("file"));
    race(context, &mut bundle, names, &canary, &[], None)
}

fn dev_null(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    for place in ["/dev", "/dev/pts", "/dev/shm"] {
        bundle.drop_mount(place);
    }
    let devices = volume(context)?;
    let null = devices.join("null");
    fs::write(&null, "")?;
    bundle.add_mount(json!({
        "destination": "/dev", "type": "bind", "source": devices, "options": ["rbind"],
    }));
    bundle.config["linux"]["maskedPaths"] = json!(["/etc/motd"]);
    // As the container's own root sees it: no link of the image leads to the host's file.
    let names = (null, canary.directory.join("file"));
    let questions = ["read:/etc/motd", "write:/etc/motd=x"];
    race(
        context,
        &mut bundle,
        names,
        &canary,
        &questions,
        Some(motd_is_empty),
    )
}

fn motd_is_empty(seen: &Observation) -> Verdict {
    let text = &seen.answer("read:/etc/motd").text;
    check(
        text.is_empty(),
        format_args!("the masked file reads {text:?}"),
    )
}

fn dev(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    for place in ["/dev", "/dev/pts", "/dev/shm"] {
        bundle.drop_mount(place);
    }
    let dev = bundle.rootfs().join("dev");
    fs::create_dir_all(&dev)?;
    bundle.config["linux"]["devices"] =
        json!([{ "type": "c", "path": "/dev/mine", "major": 1, "minor": 5 }]);
    let names = (dev, canary.directory.clone());
    race(context, &mut bundle, names, &canary, &[], None)
}

fn proc(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    // A false /proc on the host, all of whose files of interest are the canary's.
    let lie = context.directory.join("lie");
    for directory in ["self/attr", "sys/net/ipv4"] {
        fs::create_dir_all(lie.join(directory))?;
    }
    for name in [
        "self/attr/exec",
        "self/attr/keycreate",
        "sys/net/ipv4/ip_forward",
    ] {
        symlink(canary.directory.join("file"), lie.join(name))?;
    }
    let mut bundle = context.bundle()?;
    let proc = bundle.rootfs().join("proc");
    fs::create_dir_all(&proc)?;
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/kcore", "/proc/self/attr/exec"]);
    let names = (proc, lie);
    race(context, &mut bundle, names, &canary, &[], None)
}

fn console(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let devices = volume(context)?;
    let terminals = devices.join("pts");
    fs::create_dir(&terminals)?;
    let mut swappers = Vec::new();
    for name in [devices.join("console"), terminals.join("0")] {
        let link = name.with_file_name("other");
        fs::write(&name, "")?;
        symlink(canary.directory.join("file"), &link)?;
        swappers.push(Swapper::start(&name, &link)?);
    }
    let mut bundle = context.bundle()?;
    for place in ["/dev", "/dev/pts", "/dev/shm"] {
        bundle.drop_mount(place);
    }
    bundle.add_mount(json!({
        "destination": "/dev", "type": "bind", "source": devices, "options": ["rbind"],
    }));
    bundle.config["process"]["terminal"] = json!(true);
    bundle.set_probe(&["see", "write:/dev/console=x"]);
    for number in 0..starts() {
        let directory = context.directory.join(number.to_string());
        fs::create_dir(&directory)?;
        let socket = ConsoleSocket::listen(&directory)?;
        context.attempt_on_terminal(&bundle, &socket)?;
        canary.unharmed()?;
    }
    Ok(())
}

fn working_directory(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    let work = bundle.rootfs().join("work");
    fs::create_dir(&work)?;
    bundle.config["process"]["cwd"] = json!("/work/here");
    let names = (work, canary.directory.clone());
    race(context, &mut bundle, names, &canary, &[], None)
}
