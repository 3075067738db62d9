//! `linux.sysctl` (config-linux.md, "Sysctl"): which kernel parameters a container may have set, and
//! the files that they are.

use crate::error::{Error, Result};
use crate::plan::NamespaceKind;

/// The file below /proc/sys. `net.ipv4.ip_forward` and `net/ipv4/conf/eth0.1/forwarding` are both in
/// use (sysctl.d(5)): the first separator found says which one separates.
pub fn path(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'.' => key
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

/// Only sysctls of a namespace that the container has may be set: others are the host's (runc's
/// list; CVE-2022-0811's class). What is judged is the path that will be opened, not the key.
pub(super) fn check(key: &str, has: &dyn Fn(NamespaceKind) -> bool) -> Result<()> {
    let pointer = format!(
        "/linux/sysctl/{}",
        key.replace('~', "~0").replace('/', "~1")
    );
    let path = path(key);
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.contains('\0') || !path.split('/').all(is_name) {
        return Err(Error::config(pointer, format!("{key:?} is no sysctl")));
    }
    let (allowed, problem) = if is_of_ipc(&path) {
        (
            has(NamespaceKind::Ipc),
            format!("sysctl {key:?} is not allowed in the hosts ipc namespace"),
        )
    } else if path.starts_with("net/") {
        (
            has(NamespaceKind::Network),
            format!("sysctl {key:?} not allowed in host network namespace"),
        )
    } else if path.starts_with("user/") {
        // Limits of how much of the kernel may be used, the host's own ones included.
        (
            has(NamespaceKind::User),
            format!("setting ucounts without a user namespace not allowed: {key}"),
        )
    } else if path == "kernel/hostname" {
        (
            false,
            format!("sysctl {key:?} is not allowed as it conflicts with the OCI hostname field"),
        )
    } else {
        (
            path == "kernel/domainname" && has(NamespaceKind::Uts),
            format!("sysctl {key:?} is not in a separate kernel namespace"),
        )
    };
    if allowed {
        Ok(())
    } else {
        Err(Error::config(pointer, problem))
    }
}

fn is_of_ipc(path: &str) -> bool {
    path.starts_with("fs/mqueue/")
        || matches!(
            path,
            "kernel/msgmax"
                | "kernel/msgmnb"
                | "kernel/msgmni"
                | "kernel/sem"
                | "kernel/shmall"
                | "kernel/shmmax"
                | "kernel/shmmni"
                | "kernel/shm_rmid_forced"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_a_sysctl() {
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.1/x"), "net/ipv4/conf/eth0.1/x");
        assert_eq!(path("net.ipv4.conf.eth0/1.x"), "net/ipv4/conf/eth0.1/x");
    }

    #[test]
    fn no_way_of_writing_leads_out_of_the_namespace() {
        let all = |_: NamespaceKind| true;
        for key in [
            "net.//.kernel.core_pattern",
            "net/../kernel/core_pattern",
            "net..kernel",
            "net.",
            ".net.x",
            "/net/x",
            "",
            "kernel.core_pattern",
            "kernel/core_pattern",
            "kernel.hostname",
            "vm.overcommit_memory",
        ] {
            assert!(check(key, &all).is_err(), "{key}");
        }
        for key in [
            "net.ipv4.ip_forward",
            "kernel.shmmax",
            "fs.mqueue.msg_max",
            "user.max_net_namespaces",
        ] {
            assert!(check(key, &all).is_ok(), "{key}");
            assert!(check(key, &|_| false).is_err(), "{key}");
        }
    }
}
