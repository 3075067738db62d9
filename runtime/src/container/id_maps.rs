//! The ids of init's user namespace (`user_namespaces(7)`): written from outside, since only there the
//! ids that they stand for are known.

use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::init::TrustedProc;
use crate::plan::IdMaps;
use crate::spec::IdMapping;

/// One of the two kinds.
struct Kind {
    /// The file in /proc/PID.
    file: &'static str,
    /// The program of shadow-utils that may write what its caller may not.
    program: &'static str,
    pointer: &'static str,
}

const UIDS: Kind = Kind {
    file: "uid_map",
    program: "newuidmap",
    pointer: "/linux/uidMappings",
};
const GIDS: Kind = Kind {
    file: "gid_map",
    program: "newgidmap",
    pointer: "/linux/gidMappings",
};

/// Writes the mappings of the new user namespace in which `pid` is.
///
/// # Errors
/// With the mappings, and what the kernel or newuidmap(1) said.
pub(super) fn write(proc: &mut TrustedProc, pid: i32, maps: IdMaps<'_>) -> Result<()> {
    // Whoever has no right to groups may map his own only after setgroups(2) is given up: by that,
    // somebody could leave a group that keeps him out of something.
    if !geteuid().is_root() && is_only(maps.gids, getegid().as_raw()) {
        match proc.write(&format!("{pid}/setgroups"), "deny") {
            Err(error) if error.errno() == Some(Errno::NOENT) => {}
            result => result.context(|| "deny setgroups in the user namespace")?,
        }
    }
    write_kind(proc, pid, &UIDS, maps.uids)?;
    write_kind(proc, pid, &GIDS, maps.gids)
}

fn is_only(mappings: &[IdMapping], id: u32) -> bool {
    matches!(mappings, [only] if only.host_id == id && only.size == 1)
}

fn write_kind(proc: &mut TrustedProc, pid: i32, kind: &Kind, mappings: &[IdMapping]) -> Result<()> {
    let lines: Vec<String> = mappings.iter().map(ToString::to_string).collect();
    match proc.write(&format!("{pid}/{}", kind.file), &lines.join("\n")) {
        Err(error) if error.errno() == Some(Errno::PERM) => {
            call_program(pid, kind, mappings, error)
        }
        result => result.map_err(|error| error.at(kind.pointer)),
    }
}

/// Lets newuidmap(1) write them, which knows what its caller was given in /etc/subuid.
fn call_program(pid: i32, kind: &Kind, mappings: &[IdMapping], refusal: Error) -> Result<()> {
    let ids = mappings
        .iter()
        .flat_map(|mapping| [mapping.container_id, mapping.host_id, mapping.size]);
    let called = Command::new(kind.program)
        .arg(pid.to_string())
        .args(ids.map(|id| id.to_string()))
        .stdin(Stdio::null())
        .output();
    let output = match called {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(refusal.at(kind.pointer).hint(format!(
                "more than one's own id takes root's rights or {}(1), of the package uidmap",
                kind.program
            )));
        }
        result => result.call(|| format!("execute {}", kind.program))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.trim().replace('\n', "; ");
    Err(Error::new(format!(
        "{} failed with {}: {words}",
        kind.program, output.status
    ))
    .at(kind.pointer)
    .hint("the ids must be one's own, or given in /etc/subuid and /etc/subgid"))
}

/// Refuses a user namespace, the one in which `pid` is, whose mappings are others.
///
/// # Errors
/// In runc's words.
pub(super) fn compare(pid: i32, maps: IdMaps<'_>) -> Result<()> {
    for (kind, wanted) in [(UIDS, maps.uids), (GIDS, maps.gids)] {
        let path = format!("/proc/{pid}/{}", kind.file);
        let text = std::fs::read_to_string(&path).call(|| format!("read {path}"))?;
        let mut found = parse(&text);
        let mut wanted = wanted.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        if found != wanted {
            return Err(Error::config(
                kind.pointer,
                "user namespaces enabled, but both namespace path and non-matching mapping \
                 specified -- you may only provide one",
            ));
        }
    }
    Ok(())
}

fn parse(text: &str) -> Vec<IdMapping> {
    text.lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(IdMapping {
                container_id: next()?,
                host_id: next()?,
                size: next()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_form_is_read() {
        let text = "         0     100000      65534\n     65534          7          1\n";
        let mapping = |container_id, host_id, size| IdMapping {
            container_id,
            host_id,
            size,
        };
        assert_eq!(
            parse(text),
            [mapping(0, 100_000, 65534), mapping(65534, 7, 1)]
        );
        assert!(is_only(&[mapping(0, 1000, 1)], 1000));
        assert!(!is_only(&[mapping(0, 1000, 2)], 1000));
        assert!(!is_only(&[mapping(0, 1001, 1)], 1000));
    }
}
