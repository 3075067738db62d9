//! Processes of containers that their runtime leaves to us. The init of a pid namespace doesn't end before
//! every other process of it has been reaped (`pid_namespaces(7)`); engines have a subreaper that does so.

use std::fs;

use rustix::process::{Pid, WaitOptions, waitpid};

/// Reaps those that have ended: children of ours that were in a pid namespace below ours, and not
/// its init, whose exit status somebody here may want. (crun, up to 1.29 at least, leaves the child of an
/// exec that fails before its program runs.)
pub fn reap() {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return;
    };
    for thread in threads.flatten() {
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            if has_ended_in_a_container(&status)
                && let Some(pid) = child.parse().ok().and_then(Pid::from_raw)
            {
                let _ = waitpid(Some(pid), WaitOptions::NOHANG);
            }
        }
    }
}

/// By its `/proc/PID/status` (`proc_pid_status(5)`).
fn has_ended_in_a_container(status: &str) -> bool {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_default()
    };
    let ids: Vec<&str> = field("NSpid").split_whitespace().collect();
    field("State").trim_start().starts_with('Z') && ids.len() > 1 && ids.last() != Some(&"1")
}

#[cfg(test)]
mod tests {
    use super::has_ended_in_a_container;

    #[test]
    fn only_zombies_of_inner_namespaces_that_are_no_init_are_orphans() {
        let status = |state: &str, ids: &str| format!("Name:\tx\nState:\t{state}\nNSpid:\t{ids}\n");
        assert!(has_ended_in_a_container(&status("Z (zombie)", "380\t7")));
        assert!(!has_ended_in_a_container(&status("S (sleeping)", "380\t7")));
        assert!(!has_ended_in_a_container(&status("Z (zombie)", "380\t1")));
        assert!(!has_ended_in_a_container(&status("Z (zombie)", "380")));
        assert!(!has_ended_in_a_container(""));
    }
}
