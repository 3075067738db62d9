//! Where and when the process runs: CPUs, policy, priorities, memory nodes.

use rustix::io::Errno;

use crate::error::{CallContext, Error, Result};
use crate::plan::{IoPriorityStep, MemoryPolicyStep, ScheduleStep, SchedulerStep};
use crate::spec::NumberList;
use crate::sys::scheduling;

/// Carries a step out.
///
/// # Errors
/// With the call, what the kernel said, and what would mend it.
pub(super) fn schedule(step: &ScheduleStep) -> Result<()> {
    match step {
        ScheduleStep::Cpus(cpus) => run_on(cpus.as_ref()),
        ScheduleStep::Policy(step) => set_scheduler(step),
        ScheduleStep::IoPriority(step) => set_io_priority(*step),
        ScheduleStep::Memory(step) => set_memory_policy(step),
    }
}

/// Where nobody asked for any CPUs, it is no error when a filter or a policy of the caller's keeps
/// us on its own.
fn run_on(cpus: Option<&NumberList>) -> Result<()> {
    let Some(cpus) = cpus else {
        let _ = scheduling::run_everywhere();
        return Ok(());
    };
    scheduling::run_on(cpus.words()).map_err(|errno| {
        let error = Error::call("error setting final CPU affinity", errno);
        match errno {
            Errno::INVAL => error.hint("none of these CPUs is one of the container's cgroup"),
            _ => error,
        }
    })
}

fn set_scheduler(step: &SchedulerStep) -> Result<()> {
    const DEADLINE: u32 = libc::SCHED_DEADLINE.cast_unsigned();
    scheduling::set_scheduler(step).map_err(|errno| {
        // sched_setattr(2): "The CPU affinity mask of the thread specified by pid does not include
        // all CPUs in the system".
        if errno == Errno::PERM && step.on_some_cpus && step.policy == DEADLINE {
            return Error::new("process scheduler can't be used together with AllowedCPUs")
                .hint("leave /linux/resources/cpu/cpus out");
        }
        let error = Error::call(
            format!(
                "error setting scheduler: sched_setattr({})",
                step.policy_name
            ),
            errno,
        );
        match errno {
            Errno::PERM => error.hint(
                "it takes CAP_SYS_NICE, and for a real-time policy, on a kernel with \
                 RT_GROUP_SCHED, a cgroup with realtimeRuntime",
            ),
            Errno::OPNOTSUPP => error.hint("this kernel has no utilization clamping"),
            Errno::INVAL => error.hint("this kernel lacks the policy, or a value is out of range"),
            Errno::BUSY => error.hint("so much running time is not to be had"),
            _ => error,
        }
    })
}

fn set_io_priority(step: IoPriorityStep) -> Result<()> {
    scheduling::set_io_priority(step.value()).map_err(|errno| {
        let error = Error::call(
            format!("failed to set io priority: ioprio_set({})", step.class_name),
            errno,
        );
        match errno {
            Errno::PERM => error.hint("IOPRIO_CLASS_RT takes CAP_SYS_NICE"),
            _ => error,
        }
    })
}

fn set_memory_policy(step: &MemoryPolicyStep) -> Result<()> {
    let words = step.nodes.words();
    scheduling::set_memory_policy(step.mode, words)
        .call(|| format!("set_mempolicy({}, {words:x?})", step.mode_name))
        .map_err(|error| match error.errno() {
            Some(Errno::INVAL) => error.hint("a node that is not there, or flags at odds"),
            Some(Errno::NOSYS) => error.hint("this kernel has no NUMA policies"),
            _ => error,
        })
}
