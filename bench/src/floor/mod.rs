//! The floor: the same container with only the kernel's part of the work.
//!
//! [`plan`] turns a config.json beforehand, outside the measured time, into a list of system
//! calls; [`step`] is that list and its text form; [`program`] is `windlass-floor`, which reads
//! the list and carries it out, once for each `run`, or in the parts that `create`, `start`,
//! `delete` and `exec` have.
//!
//! In the floor: namespaces, the cgroup in every hierarchy with the limits that are plain writes,
//! mounts, devices, masked and read-only paths, sysctl, host name, `pivot_root`, `execve`. Not in
//! it: credentials and the seccomp filter (a few system calls, whose price is the runtime's to
//! keep low), the device filter of cgroup v2 (a BPF program), reading and checking config.json,
//! state, logs. It also doesn't defend itself against a hostile root file system.

pub mod plan;
pub mod program;
pub mod step;
