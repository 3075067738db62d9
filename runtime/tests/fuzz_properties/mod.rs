//! What holds for any input at all: each function here takes bytes and panics when it doesn't.
//! `fuzz/` calls them with inputs that it makes up for minutes, `fuzz_seeds.rs` with those that are
//! written down and some variations.

use std::path::PathBuf;

use serde_json::json;
use windlass::cgroup::{Driver, Maker};
use windlass::cli::exec_user::ExecUser;
use windlass::container::{Container, Store};
use windlass::error::Error;
use windlass::host::Host;
use windlass::plan::{self, Action, ContainerRequest, ExecRequest, Side};
use windlass::seccomp::bpf::{Instruction, MAXIMUM};
use windlass::seccomp::{Architecture, compile};
use windlass::spec::seccomp::Seccomp;
use windlass::spec::{Spec, check};
use windlass::sys::seccomp::Abilities;

use crate::seccomp_interpreter::{Call, run};

/// A function of this file.
pub type Property = fn(&[u8]);

/// All of them, by the names of their targets and of their folders of seeds.
#[allow(dead_code, reason = "each fuzz target calls its own")]
pub const ALL: [(&str, Property); 6] = [
    ("config", config),
    ("state", state),
    ("seccomp_profile", seccomp_profile),
    ("exec_user", exec_user),
    ("mount_options", mount_options),
    ("container_id", container_id),
];

/// A config.json: it is refused in one line, or planned for, for `create` and for `exec`.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(spec) = serde_json::from_str::<Spec<'_>>(text)
        && let Err(error) = plan_for(&spec)
    {
        one_line(&error);
    }
    // A runtime looks at its host once; a fuzzer does so as long as there are numbers for descriptors.
    windlass::sys::exec::close_spent();
}

fn plan_for(spec: &Spec<'_>) -> Result<(), Error> {
    check(spec)?;
    let host = Host::detect(spec, spec.process.as_ref(), Driver::Cgroupfs)?;
    for wait_for_start in [false, true] {
        let request = ContainerRequest {
            bundle: "/bundle",
            no_pivot: false,
            no_new_keyring: false,
            preserve_fds: 0,
            extra_env: &[],
            wait_for_start,
            cgroups: &Maker::Runtime,
        };
        well_formed(&plan::for_container(spec, &host, &request)?);
    }
    if let Some(process) = &spec.process {
        let request = ExecRequest {
            preserve_fds: 0,
            no_new_keyring: false,
            restored: false,
        };
        well_formed(&plan::for_exec(spec, process, &host, &request)?);
    }
    Ok(())
}

/// The order of a plan is the protocol between its two sides.
fn well_formed(plan: &plan::Plan<'_>) {
    let births = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::StartInit { .. }));
    assert_eq!(births.count(), 1, "one process is started");
    assert_eq!(plan.steps[0].action.side(), Side::Runtime);
    let last = plan.steps.last().map(|step| &step.action);
    assert!(matches!(last, Some(Action::Execute)), "{last:?}");
    for step in &plan.steps {
        assert!(!step.action.to_string().is_empty());
        assert!(step.pointer.to_string().is_empty() || step.pointer.to_string().starts_with('/'));
    }
}

/// Errors go into logs, a line each.
fn one_line(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
}

/// A directory of this thread's own, which goes with it.
fn scratch_directory() -> PathBuf {
    thread_local! {
        static DIRECTORY: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    DIRECTORY.with(|directory| directory.path().to_owned())
}

/// A container's files after whatever has happened to them: the first byte says which file.
pub fn state(bytes: &[u8]) {
    let (name, text) = match bytes {
        [b's', text @ ..] => ("state.json", text),
        [b'j', text @ ..] => ("journal", text),
        _ => return,
    };
    let store = Store::new(scratch_directory());
    let (directory, _lock, _journal) = store.make("c").unwrap();
    std::fs::write(directory.file(name), text).unwrap();
    let loaded = store.find("c").and_then(Container::load);
    if let Ok(container) = &loaded {
        // Looks only: it kills nobody, whatever pid stands there.
        let _ = (container.status(), container.report().is_ok());
        if let Err(error) = container.config().and_then(|it| it.spec().map(drop)) {
            one_line(&error);
        }
    }
    directory.remove().unwrap();
}

/// A seccomp profile: it is refused in one line, or becomes a filter that the kernel would take.
pub fn seccomp_profile(bytes: &[u8]) {
    let Ok(profile) = serde_json::from_slice::<Seccomp<'_>>(bytes) else {
        return;
    };
    for native in [Architecture::X86_64, Architecture::Aarch64] {
        let abilities = Abilities {
            native: Some(native),
            ..Abilities::probe()
        };
        match compile(&profile, &abilities) {
            Err(error) => one_line(&error),
            Ok(program) if program.instructions().is_empty() => {}
            Ok(program) => takes_every_call_somewhere(program.instructions()),
        }
    }
}

fn takes_every_call_somewhere(filter: &[Instruction]) {
    assert!(filter.len() <= MAXIMUM);
    for architecture in [0xc000_003e_u32, 0x4000_0003, 0xc000_00b7, 0x4000_0028, 7] {
        for number in [0, 1, 59, 102, 117, 500, 1 << 30, (1 << 30) + 59, u32::MAX] {
            for argument in [0, 1, 1 << 32, u64::MAX] {
                let call = Call {
                    number,
                    architecture,
                    arguments: [argument; 6],
                };
                run(filter, &call);
            }
        }
    }
}

/// The user of `exec -u`: what is understood is what was written.
pub fn exec_user(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match text.parse::<ExecUser>() {
        Err(error) => one_line(&error),
        Ok(user) => {
            let (uid, gid) = match text.split_once(':') {
                Some((uid, gid)) => (uid, Some(gid)),
                None => (text, None),
            };
            assert_eq!(user.uid.to_string(), without_zeros(uid));
            assert_eq!(user.gid.map(|gid| gid.to_string()), gid.map(without_zeros));
        }
    }
}

fn without_zeros(digits: &str) -> String {
    match digits.trim_start_matches('0') {
        "" => "0".to_owned(),
        number => number.to_owned(),
    }
}

/// An entry of `mounts`, a line each: destination, type, source, and the options.
pub fn mount_options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let (destination, kind, source) = (next(), next(), next());
    let config = json!({
        "ociVersion": "1.3.0",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/x"], "cwd": "/" },
        "root": { "path": "/rootfs" },
        "mounts": [{
            "destination": destination, "type": kind, "source": source,
            "options": lines.collect::<Vec<_>>(),
        }],
        "linux": { "namespaces": [{ "type": "mount" }] },
    });
    self::config(config.to_string().as_bytes());
}

/// A container's id: its directory is one below the root, by that very name, or there is none.
pub fn container_id(bytes: &[u8]) {
    let Ok(id) = std::str::from_utf8(bytes) else {
        return;
    };
    let root = scratch_directory();
    let store = Store::new(root.clone());
    match store.make(id) {
        Err(error) => one_line(&error),
        Ok((directory, _lock, _journal)) => {
            assert_eq!(directory.path().parent(), Some(root.as_path()));
            assert_eq!(
                directory.path().file_name().and_then(|name| name.to_str()),
                Some(id)
            );
            directory.remove().unwrap();
        }
    }
    let left = std::fs::read_dir(&root).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{id:?}");
}
