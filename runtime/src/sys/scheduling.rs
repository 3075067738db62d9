//! Where and when the kernel lets this process run: sched_setaffinity(2), sched_setattr(2) (Linux
//! 3.14), ioprio_set(2), set_mempolicy(2).

use rustix::io::Errno;

use super::clone::last_errno;
use crate::plan::SchedulerStep;

/// `struct sched_attr` of include/uapi/linux/sched/types.h, in its version of Linux 5.3.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Lets this process run on these CPUs only (bit n of word m is CPU 64m + n); the kernel passes
/// over those that its cpuset does not have.
///
/// # Errors
/// sched_setaffinity(2)'s: `EINVAL` when no CPU is left.
pub fn run_on(cpus: &[u64]) -> Result<(), Errno> {
    // SAFETY: reads as many bytes as it is told from a slice that is alive.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            std::mem::size_of_val(cpus),
            cpus.as_ptr(),
        )
    };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

/// Lets this process run on every CPU that its cpuset has or will have. The kernel takes as much
/// of the mask as it has bits for.
///
/// # Errors
/// sched_setaffinity(2)'s.
pub fn run_everywhere() -> Result<(), Errno> {
    /// 8192 CPUs, the most that x86 and arm64 can be configured for.
    const ALL: [u64; 128] = [u64::MAX; 128];
    run_on(&ALL)
}

/// The first 64 CPUs on which this process may run, as bits.
///
/// # Errors
/// sched_getaffinity(2)'s.
pub fn runs_on() -> Result<u64, Errno> {
    let mut cpus = [0_u64; 128];
    // SAFETY: writes at most as many bytes as it is told into an array that is alive.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            std::mem::size_of_val(&cpus),
            cpus.as_mut_ptr(),
        )
    };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(cpus[0])
    }
}

/// Sets the scheduling policy of this process and its parameters.
///
/// # Errors
/// sched_setattr(2)'s.
pub fn set_scheduler(step: &SchedulerStep) -> Result<(), Errno> {
    let mut attr = SchedAttr {
        size: 0,
        policy: step.policy,
        flags: step.flags,
        nice: step.nice,
        priority: step.priority,
        runtime: step.runtime,
        deadline: step.deadline,
        period: step.period,
        util_min: 0,
        util_max: 0,
    };
    attr.size = u32::try_from(std::mem::size_of_val(&attr)).unwrap_or(0);
    // SAFETY: reads a struct of the size that it names, which is alive.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

/// Sets the I/O priority of this process (`IOPRIO_PRIO_VALUE`).
///
/// # Errors
/// ioprio_set(2)'s.
pub fn set_io_priority(value: u32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}

/// Sets the memory policy of this process: `MPOL_*` with its flags, and the nodes as bits.
///
/// # Errors
/// set_mempolicy(2)'s.
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> Result<(), Errno> {
    // The kernel takes one bit less than it is told (get_nodes in mm/mempolicy.c).
    let bits = nodes.len() * 64 + 1;
    // SAFETY: reads at most as many bits as it is told, rounded up to words, from a slice that is
    // alive; for one bit it reads nothing.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes.as_ptr(), bits) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}
