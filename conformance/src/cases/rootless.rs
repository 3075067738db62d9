//! The runtime called by a user who may do nothing but make a user namespace.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::{Value, json};

use crate::case::{Case, Stop, Verdict, check, equal};
use crate::harness::{Bundle, Call, Context, Output, observation};

/// Who calls: an id that is nobody's.
const USER: u32 = 54_321;

const CLAUSE: (&str, &str, &str) = (
    "config-linux.md",
    "User namespace mappings",
    "uidMappings (array of objects, OPTIONAL) describes the user namespace uid mappings",
);

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "rootless/run",
        "a user's container runs as root of its own user namespace",
        "runs the probe as an id that has no rights, mapped to root",
        run,
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2),
    Case::contract(
        "rootless/devices",
        "the default devices are there, though their nodes can't be made",
        "writes /dev/null, reads /dev/zero and /dev/urandom",
        devices,
    )
    .clause(
        "config-linux.md",
        "Default Devices",
        "the runtime MUST also supply the following devices",
    ),
    Case::contract(
        "rootless/lifecycle",
        "create, state, start, exec, kill and delete work for a user",
        "calls each, and looks for what is left",
        lifecycle,
    )
    .clause("runtime.md", "Lifecycle", "the `create` command is invoked"),
    Case::contract(
        "rootless/masks",
        "masked and read-only paths are so for a user's container as well",
        "reads and writes them",
        masks,
    )
    .clause(
        "config-linux.md",
        "Masked Paths",
        "will mask over the provided paths",
    ),
    Case::contract(
        "rootless/foreign-ids",
        "ids that the user doesn't have can't be mapped",
        "maps ids of others",
        foreign_ids,
    )
    .clause(CLAUSE.0, CLAUSE.1, CLAUSE.2),
    Case::contract(
        "rootless/limits-refused",
        "a limit that the user may not set is an error, not silence",
        "asks for a pids limit in a cgroup that is root's",
        limits_refused,
    )
    .clause(
        "config.md",
        "Valid values",
        "MUST generate an error when invalid or unsupported values",
    )
    .known(&[crate::case::Known {
        runtimes: crate::case::CRUN,
        why: "a limit that it may not set is ignored without a word",
    }]),
];

/// A bundle of the user's own, as `spec --rootless` has it.
fn bundle(context: &Context) -> Result<Bundle, Stop> {
    for file in [
        "/proc/sys/user/max_user_namespaces",
        "/proc/sys/kernel/unprivileged_userns_clone",
    ] {
        if fs::read_to_string(file).is_ok_and(|text| text.trim() == "0") {
            return Err(Stop::Skipped(format!("needs user namespaces: {file} is 0")));
        }
    }
    let mut bundle = context.bundle()?;
    bundle.add_namespace(json!({ "type": "user" }));
    let mapping = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
    let linux = &mut bundle.config["linux"];
    linux["uidMappings"] = mapping.clone();
    linux["gidMappings"] = mapping;
    // Nobody else's group can be given to the terminals, and no cgroup be made.
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
        linux.remove("cgroupsPath");
    }
    if let Some(mounts) = bundle.config["mounts"].as_array_mut() {
        for mount in mounts {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "gid=5");
            }
        }
    }
    for directory in [&context.directory, &context.state, &bundle.directory] {
        chown(directory, Some(USER), Some(USER))?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    }
    own(&bundle.rootfs())?;
    Ok(bundle)
}

/// Gives a tree to the user.
fn own(directory: &std::path::Path) -> Verdict {
    chown(directory, Some(USER), Some(USER))?;
    for entry in fs::read_dir(directory)?.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            own(&entry.path())?;
        } else if !kind.is_symlink() && entry.file_name() != "probe" {
            // (The probe is linked to other cases' bundles.)
            chown(entry.path(), Some(USER), Some(USER))?;
        }
    }
    Ok(())
}

fn call<'a>(context: &'a Context, words: &[&str]) -> Call<'a> {
    context
        .call(words)
        .user(USER)
        .environment("XDG_RUNTIME_DIR", &context.directory.to_string_lossy())
}

fn see(
    context: &Context,
    mut bundle: Bundle,
    questions: &[&str],
) -> Result<crate::probe::Observation, Stop> {
    let mut words = vec!["see"];
    words.extend_from_slice(questions);
    bundle.set_probe(&words);
    observation(&attempt(context, &bundle)?.must_work()?)
}

/// Writes config.json as the user's own.
fn write(bundle: &Bundle) -> Verdict {
    bundle.write()?;
    chown(bundle.directory.join("config.json"), Some(USER), Some(USER))?;
    Ok(())
}

/// `run`, whatever comes of it.
fn attempt(context: &Context, bundle: &Bundle) -> Result<Output, Stop> {
    write(bundle)?;
    let container = context.container()?;
    let directory = bundle.directory.to_string_lossy();
    let output = call(context, &["run", "--bundle", &directory, &container.id]).run()?;
    call(context, &["delete", "--force", &container.id]).run()?;
    Ok(output)
}

fn run(context: &Context) -> Verdict {
    let seen = see(
        context,
        bundle(context)?,
        &["read:/proc/self/uid_map", "create:/tmp/mine"],
    )?;
    equal("uid", seen.uid, [0, 0])?;
    let map: Vec<u32> = seen
        .answer("read:/proc/self/uid_map")
        .text
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    equal("uid_map", map, vec![0, USER, 1])?;
    check(
        seen.answer("create:/tmp/mine").worked(),
        "can't make a file in /tmp",
    )?;
    equal("host name", seen.hostname, "conformance".to_owned())
}

fn devices(context: &Context) -> Verdict {
    let questions = [
        "write:/dev/null=x",
        "open:/dev/zero",
        "open:/dev/urandom",
        "stat:/dev/null",
    ];
    let seen = see(context, bundle(context)?, &questions)?;
    for question in questions {
        check(
            seen.answer(question).worked(),
            format_args!("{question}: {:?}", seen.answer(question)),
        )?;
    }
    equal(
        "/dev/null",
        seen.answer("stat:/dev/null").kind(),
        "character",
    )
}

fn lifecycle(context: &Context) -> Verdict {
    let mut bundle = bundle(context)?;
    bundle.set_probe(&["wait"]);
    write(&bundle)?;
    let mut container = context.container()?;
    let id = container.id.clone();
    let directory = bundle.directory.to_string_lossy();
    let status = |wanted: &str| -> Verdict {
        let output = call(context, &["state", &id]).run()?.must_work()?;
        let state: Value = serde_json::from_str(&output.stdout()).unwrap_or_default();
        equal("status", state["status"].as_str(), Some(wanted))
    };
    call(context, &["create", "--bundle", &directory, &id])
        .run()?
        .must_work()?;
    status("created")?;
    call(context, &["start", &id]).run()?.must_work()?;
    status("running")?;
    let seen = call(context, &["exec", &id, "/probe", "probe", "see"])
        .run()?
        .must_work()?;
    equal("uid of exec", observation(&seen)?.uid, [0, 0])?;
    call(context, &["kill", &id, "KILL"]).run()?.must_work()?;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while status("stopped").is_err() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    call(context, &["delete", &id]).run()?.must_work()?;
    container.gone();
    context.nothing_left(&id)
}

fn masks(context: &Context) -> Verdict {
    let mut bundle = bundle(context)?;
    bundle.config["linux"]["maskedPaths"] = json!(["/etc/motd", "/proc/scsi"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/etc/group", "/proc/sys"]);
    let (read, write) = ("read:/etc/motd", "write:/etc/group=x");
    let seen = see(context, bundle, &[read, write])?;
    equal("a masked file", seen.answer(read).text, String::new())?;
    check(!seen.answer(write).worked(), "a read-only path is writable")
}

fn foreign_ids(context: &Context) -> Verdict {
    let mut bundle = bundle(context)?;
    bundle.config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    attempt(context, &bundle)?.must_fail()?;
    Ok(())
}

fn limits_refused(context: &Context) -> Verdict {
    let mut bundle = bundle(context)?;
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{}/rootless", context.word));
    bundle.config["linux"]["resources"] = json!({ "pids": { "limit": 20 } });
    let output = attempt(context, &bundle)?.must_fail()?;
    check(
        !output.stderr().trim().is_empty(),
        "no message on standard error",
    )
}
