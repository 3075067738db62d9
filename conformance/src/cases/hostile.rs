//! Images and callers that mean harm. Each case has a canary on the host and looks whether it is
//! touched. This file has what an image can do by lying still, [`super::hostile_races`] what it can
//! do by moving, [`super::hostile_callers`] what leaks into a container or out of it by its callers,
//! [`super::hostile_configs`] what a config.json can ask for.
//!
//! docs/security.md has a table of the advisories, and what proves a runtime immune to each.
//!
//! `WINDLASS_CONFORMANCE_STARTS` says how often each race is run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use crate::case::{CRUN, Case, Known, OLD_CRUN, RUNC, Verdict, check, equal};
use crate::harness::canary::{Canary, Fingerprint, program_unchanged};
use crate::harness::{Bundle, Context, observation, wait_for_text};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "hostile/dev-is-a-link",
        "a /dev that is a link to a directory of the host gets no devices there",
        "the image has /dev -> the canary, with no mount over it",
        dev_link,
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
            why: "older than the fix of CVE-2026-47766: its devices land on the host",
        },
    ]),
    Case::contract(
        "hostile/dev-children-are-links",
        "links at /dev/pts, /dev/shm and /dev/mqueue lead nowhere on the host",
        "the image has /dev without a mount, and links to the canary in it",
        dev_children,
    )
    .clause(
        "security",
        "CVE-2026-41579",
        "image with /dev/pts, /dev/shm, /dev/mqueue links",
    ),
    Case::contract(
        "hostile/proc-is-a-link",
        "a /proc that is a link is refused, or stays inside",
        "the image has /proc -> the canary",
        proc_link,
    )
    .clause(
        "security",
        "CVE-2019-19921",
        "/proc (and /sys) as symlink and as shared volume: refuse",
    ),
    Case::contract(
        "hostile/proc-is-a-volume",
        "a /proc that is no procfs is refused, or masks and labels do no harm",
        "binds a directory at /proc with a false self/attr in it",
        proc_volume,
    )
    .clause(
        "security",
        "CVE-2019-16884",
        "image VOLUME over /proc: create must fail",
    ),
    Case::contract(
        "hostile/sys-is-a-link",
        "a /sys that is a link stays inside",
        "the image has /sys -> the canary",
        sys_link,
    )
    .clause(
        "security",
        "CVE-2025-54867",
        "/proc, /sys symlinks in rootfs",
    ),
    Case::contract(
        "hostile/destination-leaves-the-root",
        "mount destinations with `..` and absolute links stay below the root",
        "mounts at /../../mnt/x, and below links to / and to ../../..",
        destinations,
    )
    .clause(
        "security",
        "CVE-2021-30465",
        "0 mounts outside rootfs in host mountinfo",
    ),
    Case::contract(
        "hostile/missing-destination-through-a-link",
        "a missing mount point below a link is not made on the host",
        "the image has /data -> the canary; a volume is mounted at /data/new/volume",
        destination_made,
    )
    .clause(
        "security",
        "CVE-2024-45310",
        "MkdirAll race creates empty files/dirs on host",
    ),
    Case::contract(
        "hostile/masked-path-is-a-link",
        "a masked path that is a link masks nothing on the host",
        "the image has /secret -> the canary's file, and /secret is masked",
        masked_link,
    )
    .clause(
        "security",
        "CVE-2025-31133",
        "masked files read as empty; target never mounted",
    ),
    Case::contract(
        "hostile/cwd-is-a-descriptor",
        "process.cwd /proc/self/fd/N never leads to the host",
        "runs with N from 3 to 20 and descriptor 7 open on the host's root",
        directory_is_a_descriptor,
    )
    .clause(
        "security",
        "CVE-2024-21626",
        "for N in 3..1024: WORKDIR /proc/self/fd/N fails",
    )
    .known(&[Known {
        runtimes: OLD_CRUN,
        why: "a descriptor that the caller leaks leads chdir(2) to the host",
    }]),
    Case::contract(
        "hostile/cwd-is-a-link",
        "a process.cwd through a link to the host's root stays inside",
        "the image has /away -> ../../../../../.. and process.cwd is /away/etc",
        directory_is_a_link,
    )
    .clause("security", "CVE-2024-21626", "getcwd must start with /"),
    Case::contract(
        "hostile/runtime-not-writable",
        "no process of the runtime lets a container write to the runtime's program",
        "the container's program grabs /proc/*/exe of whatever enters with exec, and writes to it",
        runtime_not_writable,
    )
    .clause(
        "security",
        "CVE-2019-5736",
        "every open fails; host binary hash unchanged",
    ),
    Case::contract(
        "hostile/program-is-the-runtime",
        "a program that is a link to /proc/self/exe leaves the runtime's program as it was",
        "runs it, and executes it with exec",
        program_is_the_runtime,
    )
    .clause(
        "security",
        "CVE-2019-5736",
        "exec /proc/self/exe; host binary hash unchanged",
    ),
    Case::contract(
        "hostile/interpreter-is-the-runtime",
        "a script with #!/proc/self/exe leaves the runtime's program as it was",
        "executes such a script with run and with exec",
        interpreter_is_the_runtime,
    )
    .clause("security", "CVE-2019-5736", "exec `#!/proc/self/exe`"),
    Case::contract(
        "hostile/passwd-is-a-link",
        "HOME is never taken from the host's /etc/passwd",
        "the image has /etc/passwd -> a canary with a home of its own for uid 1000",
        passwd_link,
    )
    .clause("security", "CVE-2024-9676", "passwd symlink"),
];

/// Runs the bundle, whatever comes of it, and then looks at the canary. A refusal is as good as a
/// container that stays inside.
fn run_and_look(context: &Context, bundle: &mut Bundle, canary: &Canary) -> Verdict {
    bundle.set_probe(&["see", "write:/etc/motd=x"]);
    let (_container, _output) = context.attempt("run", bundle, &[])?;
    canary.unharmed()
}

fn replace_by_link(bundle: &Bundle, name: &str, target: &Path) -> Verdict {
    let place = bundle.rootfs().join(name);
    if place.is_dir() {
        fs::remove_dir_all(&place)?;
    } else if place.exists() {
        fs::remove_file(&place)?;
    }
    symlink(target, place)?;
    Ok(())
}

fn dev_link(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    for place in ["/dev", "/dev/pts", "/dev/shm"] {
        bundle.drop_mount(place);
    }
    replace_by_link(&bundle, "dev", &canary.directory)?;
    bundle.config["linux"]["devices"] =
        json!([{ "type": "c", "path": "/dev/mine", "major": 1, "minor": 5 }]);
    run_and_look(context, &mut bundle, &canary)
}

fn dev_children(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    bundle.drop_mount("/dev");
    for name in ["dev/pts", "dev/shm", "dev/mqueue", "dev/null", "dev/fd"] {
        symlink(&canary.directory, bundle.rootfs().join(name))?;
    }
    bundle.add_mount(json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue" }));
    run_and_look(context, &mut bundle, &canary)
}

fn proc_link(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    replace_by_link(&bundle, "proc", &canary.directory)?;
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/file"]);
    run_and_look(context, &mut bundle, &canary)
}

fn proc_volume(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let volume = context.directory.join("volume");
    fs::create_dir_all(volume.join("self/attr"))?;
    for name in ["exec", "fscreate", "keycreate"] {
        fs::write(volume.join("self/attr").join(name), "")?;
    }
    symlink(&canary.directory, volume.join("sys"))?;
    let mut bundle = context.bundle()?;
    bundle.drop_mount("/proc");
    bundle.add_mount(json!({
        "destination": "/proc", "type": "bind", "source": volume, "options": ["rbind"],
    }));
    bundle.config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    run_and_look(context, &mut bundle, &canary)
}

fn sys_link(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    replace_by_link(&bundle, "sys", &canary.directory)?;
    run_and_look(context, &mut bundle, &canary)
}

fn destinations(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let away = canary
        .directory
        .strip_prefix("/")
        .unwrap_or(&canary.directory);
    for destination in [
        Path::new("/../../../../../..").join(away).join("x"),
        Path::new("/absolute").join(away).join("x"),
        Path::new("/relative").join(away).join("x"),
        Path::new("/mnt/../../../../../../..").join(away).join("x"),
    ] {
        let mut bundle = context.bundle()?;
        symlink("/", bundle.rootfs().join("absolute"))?;
        symlink("../../../../../../../..", bundle.rootfs().join("relative"))?;
        bundle.add_mount(json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs" }));
        run_and_look(context, &mut bundle, &canary)?;
    }
    Ok(())
}

fn destination_made(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let volume = context.directory.join("volume");
    fs::create_dir(&volume)?;
    let mut bundle = context.bundle()?;
    symlink(&canary.directory, bundle.rootfs().join("data"))?;
    bundle.add_mount(json!({
        "destination": "/data/new/volume", "type": "bind", "source": volume, "options": ["rbind"],
    }));
    run_and_look(context, &mut bundle, &canary)
}

fn masked_link(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let mut bundle = context.bundle()?;
    symlink(
        canary.directory.join("file"),
        bundle.rootfs().join("secret"),
    )?;
    bundle.config["linux"]["maskedPaths"] = json!(["/secret"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/secret"]);
    run_and_look(context, &mut bundle, &canary)
}

fn directory_is_a_descriptor(context: &Context) -> Verdict {
    let secret = format!(
        "stat:../../../../../../..{}/ids",
        context.directory.display()
    );
    for number in 3..=20 {
        let mut bundle = context.bundle()?;
        bundle.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        bundle.set_probe(&["see", &secret]);
        bundle.write()?;
        let container = context.container()?;
        let directory = bundle.directory.to_string_lossy().into_owned();
        let output = context
            .call(&["run", "--bundle", &directory, &container.id])
            .descriptor(fs::File::open("/")?, 7)
            .run()?;
        if output.worked() {
            let seen = observation(&output)?;
            check(
                !seen.answer(&secret).worked(),
                format_args!(
                    "descriptor {number} leads to the host ({:?})",
                    seen.directory
                ),
            )?;
        }
    }
    Ok(())
}

fn directory_is_a_link(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    symlink("../../../../../../../..", bundle.rootfs().join("away"))?;
    bundle.config["process"]["cwd"] = json!("/away/etc");
    let seen = context.see(bundle, &["read:motd"])?;
    equal("directory", seen.directory.as_deref(), Some("/etc"))?;
    equal(
        "motd",
        seen.answer("read:motd").text.as_str(),
        "conformance\n",
    )
}

fn runtime_not_writable(context: &Context) -> Verdict {
    let before = Fingerprint::of(&context.runtime)?;
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["pounce", "/tmp/prey"]);
    // With every capability, as a privileged container has.
    let every = json!(context.host.capabilities);
    bundle.config["process"]["capabilities"] =
        json!({ "bounding": every, "permitted": every, "effective": every });
    let prey = bundle.rootfs().join("tmp/prey");
    let container = context.create(&bundle)?;
    container.start()?;
    wait_for_text(&prey, |_| true)?;
    for _ in 0..10 {
        container
            .call("exec", &[], &["/probe", "probe", "exit", "0"])?
            .must_work()?;
    }
    container.stop()?;
    let text = fs::read_to_string(&prey)?;
    check(
        text.is_empty(),
        format_args!("the container could write to {}", text.trim()),
    )?;
    program_unchanged(context, before)
}

fn program_is_the_runtime(context: &Context) -> Verdict {
    let before = Fingerprint::of(&context.runtime)?;
    let mut bundle = context.bundle()?;
    symlink("/proc/self/exe", bundle.rootfs().join("run-me"))?;
    let rootfs = bundle.rootfs();
    // --version, so that a runtime that is executed in the container ends at once.
    bundle.config["process"]["args"] = json!(["/run-me", "--version"]);
    context.attempt("run", &bundle, &[])?;
    let container = context.started(bundle)?;
    check(rootfs.join("run-me").is_symlink(), "the link is gone")?;
    container.call("exec", &[], &["/run-me", "--version"])?;
    program_unchanged(context, before)
}

fn interpreter_is_the_runtime(context: &Context) -> Verdict {
    let before = Fingerprint::of(&context.runtime)?;
    let mut bundle = context.bundle()?;
    let script = bundle.rootfs().join("script");
    fs::write(&script, "#!/proc/self/exe --version\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    bundle.config["process"]["args"] = json!(["/script"]);
    context.attempt("run", &bundle, &[])?;
    let container = context.started(bundle)?;
    container.call("exec", &[], &["/script"])?;
    program_unchanged(context, before)
}

fn passwd_link(context: &Context) -> Verdict {
    let canary = Canary::new(context)?;
    let file = context.directory.join("passwd");
    fs::write(&file, "probe:x:1000:1000::/of-the-host:/probe\n")?;
    let mut bundle = context.bundle()?;
    replace_by_link(&bundle, "etc/passwd", &file)?;
    bundle.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    bundle.set_probe(&["see"]);
    let (_container, output) = context.attempt("run", &bundle, &[])?;
    if output.worked() {
        let home = observation(&output)?.variable("HOME").join(" ");
        check(home != "/of-the-host", "HOME comes from a file of the host")?;
    }
    canary.unharmed()
}
