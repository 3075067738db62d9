//! create, start, kill, delete, run: what each does, and what it refuses.

use std::fs;

use serde_json::json;

use crate::case::{CRUN, Case, Known, NEW_CRUN, OLD_CRUN, Verdict, check, equal};
use crate::harness::{Context, observation, wait_for_text};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "lifecycle/create-does-not-run",
        "create makes the container and does not run its program",
        "creates a container whose program writes a file, and looks for the file before and after start",
        create_does_not_run,
    )
    .clause("runtime.md", "Lifecycle", "the user-specified program [...] MUST NOT be run at this time"),
    Case::must(
        "lifecycle/config-read-once",
        "changes of config.json after create do not matter",
        "puts another program into config.json between create and start",
        config_read_once,
    )
    .clause("runtime.md", "Lifecycle", "Any updates to config.json after this step MUST NOT affect"),
    Case::must(
        "lifecycle/create-needs-id",
        "create without an id is an error",
        "calls create with a bundle only",
        create_needs_id,
    )
    .clause("runtime.md", "Create", "MUST generate an error if it is not provided a path to the bundle and"),
    Case::must(
        "lifecycle/create-duplicate-id",
        "a second container of the same id is refused, and the first one unharmed",
        "creates twice under one id, then starts the first",
        duplicate_id,
    )
    .clause("runtime.md", "Create", "If the ID provided is not unique [...] MUST generate an error"),
    Case::must(
        "lifecycle/start-needs-id",
        "start without an id is an error",
        "calls start alone",
        start_needs_id,
    )
    .clause("runtime.md", "Start", "MUST generate an error if it is not provided the container ID"),
    Case::must(
        "lifecycle/start-unknown",
        "start of an unknown id is an error",
        "starts an id that nothing was created under",
        start_unknown,
    )
    .clause("runtime.md", "Start", "Attempting to start a container that is not created [...]"),
    Case::must(
        "lifecycle/start-running",
        "start of a running container is an error and changes nothing",
        "starts twice; the container's process stays the same and runs",
        start_running,
    )
    .clause("runtime.md", "Start", "MUST have no effect on the container and MUST generate an error"),
    Case::must(
        "lifecycle/start-stopped",
        "start of a stopped container is an error",
        "starts again after the program's end",
        start_stopped,
    )
    .clause("runtime.md", "Start", "Attempting to start a container that is not created [...]"),
    Case::must(
        "lifecycle/no-process",
        "a container without process can't be started",
        "takes process out of config.json: create or start must fail",
        no_process,
    )
    .clause("runtime.md", "Start", "This operation MUST generate an error if process was not set")
    .known(&[Known { runtimes: NEW_CRUN, why: "both create and start exit with 0" }]),
    Case::must(
        "lifecycle/kill-sends-the-signal",
        "kill sends the signal that is named, in every form of its name",
        "sends USR1, SIGUSR2, 1 and WINCH to a program that writes down what comes",
        kill_forms,
    )
    .clause("runtime.md", "Kill", "This operation MUST send the specified signal to the container process"),
    Case::contract(
        "lifecycle/kill-lower-case",
        "kill takes a signal's name in lower case",
        "sends term",
        kill_lower_case,
    )
    .clause("runc", "kill", "names are made upper case before they are looked up")
    .known(&[
        Known { runtimes: OLD_CRUN, why: "takes it for signal 0 and says nothing" },
        Known { runtimes: CRUN, why: "knows names in upper case only" },
    ]),
    Case::contract(
        "lifecycle/kill-defaults-to-term",
        "kill without a signal sends SIGTERM",
        "calls kill with the id alone and waits for the program's end",
        kill_default,
    )
    .clause("runc command line", "kill", "kill [options] <container-id> [signal]"),
    Case::must(
        "lifecycle/kill-created",
        "kill reaches a container that is created and not started",
        "creates, sends KILL, and waits until it is stopped",
        kill_created,
    )
    .clause("runtime.md", "Kill", "neither created nor running [...]"),
    Case::must(
        "lifecycle/kill-needs-id",
        "kill without an id is an error",
        "calls kill alone",
        kill_needs_id,
    )
    .clause("runtime.md", "Kill", "MUST generate an error if it is not provided the container ID"),
    Case::must(
        "lifecycle/kill-stopped",
        "kill of a stopped container is an error",
        "kills a container whose program has ended",
        kill_stopped,
    )
    .clause("runtime.md", "Kill", "that is neither created nor running MUST have no effect"),
    Case::must(
        "lifecycle/kill-unknown",
        "kill of an unknown id is an error",
        "kills an id that nothing was created under",
        kill_unknown,
    )
    .clause("runtime.md", "Kill", "that is neither created nor running MUST have no effect"),
    Case::contract(
        "lifecycle/kill-bad-signal",
        "kill with a signal that is none is an error, and the container goes on",
        "sends SIGNONSENSE and 4711",
        kill_bad_signal,
    )
    .clause("runc command line", "kill", "kill [options] <container-id> [signal]")
    .known(&[Known {
        runtimes: OLD_CRUN,
        why: "takes an unknown name for signal 0 and says nothing",
    }]),
    Case::must(
        "lifecycle/delete-running",
        "delete of a running container is an error and changes nothing",
        "deletes without --force; the container runs on",
        delete_running,
    )
    .clause("runtime.md", "Delete", "Attempting to delete a container that is not stopped MUST have no effect"),
    Case::contract(
        "lifecycle/delete-created",
        "delete of a created container works, against the letter of the spec",
        "deletes between create and start: every runtime allows it and engines rely on that",
        delete_created,
    )
    .clause("runc", "delete", "a container that is not started may be deleted without --force"),
    Case::must(
        "lifecycle/delete-needs-id",
        "delete without an id is an error",
        "calls delete alone",
        delete_needs_id,
    )
    .clause("runtime.md", "Delete", "MUST generate an error if it is not provided the container ID"),
    Case::must(
        "lifecycle/delete-stopped",
        "delete removes all that create made",
        "deletes a stopped container; then there is no state, cgroup or mount, and state fails",
        delete_stopped,
    )
    .clause("runtime.md", "Delete", "MUST delete the resources that were created during the create step"),
    Case::must(
        "lifecycle/delete-keeps-the-rest",
        "delete leaves alone what it did not make",
        "compares the bundle before and after, and a file in a bind mount's source",
        delete_keeps_the_rest,
    )
    .clause("runtime.md", "Delete", "resources [...] not created by this container, MUST NOT be deleted"),
    Case::must(
        "lifecycle/delete-unknown",
        "delete of an unknown id is an error",
        "deletes an id that nothing was created under",
        delete_unknown,
    )
    .clause("runtime.md", "Delete", "Attempting to delete a container that is not stopped [...]"),
    Case::contract(
        "lifecycle/delete-force-running",
        "delete --force ends a running container and removes it",
        "forces; the process is gone, and so is everything else",
        delete_force,
    )
    .clause("runc command line", "delete", "--force, -f"),
    Case::contract(
        "lifecycle/delete-force-unknown",
        "delete --force of an unknown id is no error",
        "engines call it to be sure that nothing is left",
        delete_force_unknown,
    )
    .clause("runc contract", "delete", "-f on an unknown id exits 0"),
    Case::contract(
        "lifecycle/delete-ends-shared-pidns",
        "delete --force also ends a child that outlives the program in the host's pid namespace",
        "the program forks a child that ignores signals; without a pid namespace nothing else ends it",
        delete_shared_pidns,
    )
    .clause("runc contract", "delete", "with a shared/host pidns delete kills everything in the cgroup"),
    Case::must(
        "lifecycle/id-free-after-delete",
        "an id can be used again after delete",
        "creates, deletes and creates under one id",
        id_again,
    )
    .clause("runtime.md", "Lifecycle", "The container MUST be destroyed by undoing the steps"),
    Case::contract(
        "lifecycle/run",
        "run creates, starts, waits and deletes",
        "runs the probe in the foreground; then the id is unknown",
        run,
    )
    .clause("runc command line", "run", "run returns the container's exit status"),
    Case::contract(
        "lifecycle/run-detached",
        "run -d returns while the program goes on",
        "runs a waiting program detached and looks at its state",
        run_detached,
    )
    .clause("runc command line", "run", "--detach, -d"),
    Case::must(
        "lifecycle/two-roots",
        "one id may exist in two state directories",
        "creates the same id under two --root directories",
        two_roots,
    )
    .clause("runtime.md", "Create", "not unique across all containers within the scope of the runtime"),
];

fn create_does_not_run(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see-into", "/tmp/ran"]);
    let ran = bundle.rootfs().join("tmp/ran");
    let container = context.create(&bundle)?;
    std::thread::sleep(std::time::Duration::from_millis(50));
    check(!ran.exists(), "the program ran before start")?;
    equal("status", container.status()?, "created".to_owned())?;
    let pid = container.pid()?;
    container.start()?;
    container.wait(pid)?;
    check(ran.exists(), "the program did not run after start")
}

fn config_read_once(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see-into", "/tmp/first"]);
    let container = context.create(&bundle)?;
    bundle.set_probe(&["see-into", "/tmp/second"]);
    bundle.config["process"]["cwd"] = json!("/var");
    bundle.write()?;
    let pid = container.pid()?;
    container.start()?;
    container.wait(pid)?;
    check(
        bundle.rootfs().join("tmp/first").exists(),
        "the program of create's time did not run",
    )?;
    check(
        !bundle.rootfs().join("tmp/second").exists(),
        "the changed program ran",
    )
}

fn create_needs_id(context: &Context) -> Verdict {
    let bundle = context.bundle()?;
    bundle.write()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    context
        .call(&["create", "--bundle", &directory])
        .run()?
        .must_fail()?;
    Ok(())
}

fn duplicate_id(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let first = context.create(&bundle)?;
    let pid = first.pid()?;
    let other = context.bundle()?;
    other.write()?;
    let directory = other.directory.to_string_lossy().into_owned();
    let output = first
        .call("create", &["--bundle", &directory], &[])?
        .must_fail()?;
    check(
        !output.stderr().trim().is_empty(),
        "no message on standard error",
    )?;
    equal("process of the first", first.pid()?, pid)?;
    first.start()?;
    equal("status of the first", first.status()?, "running".to_owned())
}

fn start_needs_id(context: &Context) -> Verdict {
    context.call(&["start"]).run()?.must_fail()?;
    Ok(())
}

fn kill_needs_id(context: &Context) -> Verdict {
    context.call(&["kill"]).run()?.must_fail()?;
    Ok(())
}

fn delete_needs_id(context: &Context) -> Verdict {
    context.call(&["delete"]).run()?.must_fail()?;
    Ok(())
}

fn start_unknown(context: &Context) -> Verdict {
    context
        .call(&["start", "conformance-nobody"])
        .run()?
        .must_fail()?;
    Ok(())
}

fn start_running(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    container.call("start", &[], &[])?.must_fail()?;
    equal("process", container.pid()?, pid)?;
    equal("status", container.status()?, "running".to_owned())
}

fn start_stopped(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    container.stop()?;
    container.call("start", &[], &[])?.must_fail()?;
    equal("status", container.status()?, "stopped".to_owned())
}

fn no_process(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    if let Some(config) = bundle.config.as_object_mut() {
        config.remove("process");
    }
    let (container, output) = context.attempt("create", &bundle, &[])?;
    if output.worked() {
        container.call("start", &[], &[])?.must_fail()?;
    }
    Ok(())
}

fn kill_forms(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait", "/tmp/signals"]);
    let file = bundle.rootfs().join("tmp/signals");
    let container = context.create(&bundle)?;
    container.start()?;
    // The file is there when the program is ready to take signals.
    wait_for_text(&file, |_| true)?;
    let forms = [
        ("USR1", "10"),
        ("SIGUSR2", "12"),
        ("1", "1"),
        ("WINCH", "28"),
    ];
    for (count, (form, number)) in forms.into_iter().enumerate() {
        container.kill(form)?;
        let seen = wait_for_text(&file, |text| text.lines().count() > count)?;
        equal(
            &format!("signal after kill {form}"),
            seen.lines().last(),
            Some(number),
        )?;
    }
    Ok(())
}

fn kill_lower_case(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    container.kill("term")?;
    container.wait(pid)?;
    Ok(())
}

fn kill_default(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    container.call("kill", &[], &[])?.must_work()?;
    let status = container.wait(pid)?;
    check(
        status.is_none_or(|status| status == 0),
        format_args!("the program ended with {status:?}, and not by its SIGTERM"),
    )
}

fn kill_created(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    context.create(&bundle)?.stop()
}

fn kill_stopped(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    container.stop()?;
    container.call("kill", &[], &["TERM"])?.must_fail()?;
    Ok(())
}

fn kill_unknown(context: &Context) -> Verdict {
    context
        .call(&["kill", "conformance-nobody", "TERM"])
        .run()?
        .must_fail()?;
    Ok(())
}

fn kill_bad_signal(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    for signal in ["SIGNONSENSE", "4711"] {
        container.call("kill", &[], &[signal])?.must_fail()?;
    }
    equal("status", container.status()?, "running".to_owned())
}

fn delete_running(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    container.call("delete", &[], &[])?.must_fail()?;
    equal("status", container.status()?, "running".to_owned())
}

fn delete_created(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let mut container = context.create(&bundle)?;
    container.delete(&[])?;
    context.nothing_left(&container.id)
}

fn delete_stopped(context: &Context) -> Verdict {
    let mut container = context.started(context.bundle()?)?;
    container.stop()?;
    container.delete(&[])?;
    container.call("state", &[], &[])?.must_fail()?;
    context.nothing_left(&container.id)
}

fn delete_keeps_the_rest(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let volume = context.directory.join("volume");
    fs::create_dir(&volume)?;
    fs::write(volume.join("kept"), "kept")?;
    bundle.add_mount(json!({
        "destination": "/volume", "type": "bind", "source": volume, "options": ["rbind", "rw"],
    }));
    let rootfs = bundle.rootfs();
    let mut container = context.started(bundle)?;
    container.stop()?;
    container.delete(&[])?;
    for file in [
        volume.join("kept"),
        rootfs.join("etc/passwd"),
        rootfs.join("../config.json"),
    ] {
        check(
            file.exists(),
            format_args!("delete removed {}", file.display()),
        )?;
    }
    Ok(())
}

fn delete_unknown(context: &Context) -> Verdict {
    context
        .call(&["delete", "conformance-nobody"])
        .run()?
        .must_fail()?;
    Ok(())
}

fn delete_force(context: &Context) -> Verdict {
    let mut container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    container.delete(&["--force"])?;
    container.wait(pid)?;
    container.call("state", &[], &[])?.must_fail()?;
    context.nothing_left(&container.id)
}

fn delete_force_unknown(context: &Context) -> Verdict {
    context
        .call(&["delete", "--force", "conformance-nobody"])
        .run()?
        .must_work()?;
    Ok(())
}

fn delete_shared_pidns(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.drop_namespace("pid");
    bundle.set_probe(&["fork-wait", "/tmp/child"]);
    let file = bundle.rootfs().join("tmp/child");
    let mut container = context.create(&bundle)?;
    container.start()?;
    let child = wait_for_text(&file, |text| text.ends_with('\n'))?;
    let child: i32 = child.trim().parse()?;
    container.delete(&["--force"])?;
    check(
        container.wait(child).is_ok(),
        format_args!("process {child} lives on after delete --force"),
    )
}

fn id_again(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let container = context.create(&bundle)?;
    container.call("delete", &["--force"], &[])?.must_work()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    container
        .call("create", &["--bundle", &directory], &[])?
        .must_work()?;
    container.start()?;
    equal("status", container.status()?, "running".to_owned())
}

fn run(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    let (mut container, output) = context.attempt("run", &bundle, &[])?;
    observation(&output.must_work()?)?;
    container.call("state", &[], &[])?.must_fail()?;
    container.gone();
    context.nothing_left(&container.id)
}

fn run_detached(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let (container, output) = context.attempt("run", &bundle, &["--detach"])?;
    output.must_work()?;
    equal("status", container.status()?, "running".to_owned())
}

fn two_roots(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let first = context.create(&bundle)?;
    let mut other = context.bundle()?;
    other.set_probe(&["wait"]);
    other.write()?;
    let root = context.directory.join("state-2");
    let directory = other.directory.to_string_lossy().into_owned();
    let here = |words: &[&str]| context.call(words).root(&root).run();
    here(&["create", "--bundle", &directory, &first.id])?.must_work()?;
    let state = here(&["state", &first.id])?;
    let deleted = here(&["delete", "--force", &first.id])?;
    check(state.worked(), state.description())?;
    check(deleted.worked(), deleted.description())?;
    equal("status of the first", first.status()?, "created".to_owned())
}
