//! `process.scheduler`, `process.ioPriority` and `process.execCPUAffinity` to their steps.

use std::fmt;

use super::{Action, MemoryPolicyStep, Pointer, Step};
use crate::error::{Error, Result};
use crate::spec::{IoPriority, NumberList, Process, Scheduler, Text};

const CLAUSE: &str = "config.md#linux-process";

/// Values of include/uapi/linux/sched.h, by their names in config.json.
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// The same for the flags.
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// Values of include/uapi/linux/ioprio.h.
const IO_CLASSES: [(&str, u32); 3] = [
    ("IOPRIO_CLASS_RT", 1),
    ("IOPRIO_CLASS_BE", 2),
    ("IOPRIO_CLASS_IDLE", 3),
];

/// Where and when a process runs.
#[derive(Debug)]
pub enum ScheduleStep {
    /// On these CPUs from here on; none: on all of its cgroup's.
    Cpus(Option<NumberList>),
    /// sched_setattr(2).
    Policy(SchedulerStep),
    /// ioprio_set(2).
    IoPriority(IoPriorityStep),
    /// set_mempolicy(2).
    Memory(MemoryPolicyStep),
}

impl fmt::Display for ScheduleStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScheduleStep::Cpus(None) => f.write_str("run on all CPUs of the cgroup"),
            ScheduleStep::Cpus(Some(cpus)) => write!(f, "run on the CPUs {cpus}"),
            ScheduleStep::Policy(step) => {
                write!(f, "set the scheduling policy {}", step.policy_name)
            }
            ScheduleStep::IoPriority(step) => {
                write!(
                    f,
                    "set the I/O priority {} {}",
                    step.class_name, step.priority
                )
            }
            ScheduleStep::Memory(step) => {
                write!(
                    f,
                    "set the memory policy {}, nodes {}",
                    step.mode_name, step.nodes
                )
            }
        }
    }
}

/// The arguments of sched_setattr(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulerStep {
    /// `SCHED_*`.
    pub policy: u32,
    /// Its name.
    pub policy_name: &'static str,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub period: u64,
    /// Whether the container's cgroup is bound to some CPUs, which is at odds with
    /// `SCHED_DEADLINE`.
    pub on_some_cpus: bool,
}

/// The arguments of ioprio_set(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoPriorityStep {
    /// `IOPRIO_CLASS_*`.
    pub class: u32,
    /// Its name.
    pub class_name: &'static str,
    /// 0 to 7.
    pub priority: u32,
}

impl IoPriorityStep {
    /// Both in one number (`IOPRIO_PRIO_VALUE`).
    pub fn value(self) -> u32 {
        self.class << 13 | self.priority
    }
}

/// The CPUs of a process of `exec`, before and after it enters the container's cgroup.
#[derive(Debug, Default)]
pub(super) struct Affinity {
    initial: Option<NumberList>,
    later: Option<NumberList>,
}

impl Affinity {
    /// # Errors
    /// For a list that is none, with its place.
    pub(super) fn of(process: &Process<'_>) -> Result<Self> {
        let Some(affinity) = &process.exec_cpu_affinity else {
            return Ok(Affinity::default());
        };
        Ok(Affinity {
            initial: cpus(affinity.initial.as_ref(), "Initial")?,
            later: cpus(affinity.r#final.as_ref(), "Final")?,
        })
    }

    /// The step before the birth.
    pub(super) fn initial<'a>(&mut self) -> Option<Step<'a>> {
        self.initial.clone().map(|cpus| Step {
            action: Action::BearOnCpus(cpus),
            pointer: Pointer::to("/process/execCPUAffinity/initial"),
            clause: CLAUSE,
        })
    }

    /// The step once the process is in its cgroup. Where config.json says nothing at all, the
    /// caller's affinity is not to be the container's.
    pub(super) fn later<'a>(self) -> Option<Step<'a>> {
        match self.later {
            None if self.initial.is_some() => None,
            None => Some(all_cpus()),
            Some(cpus) => Some(Step {
                action: Action::Schedule(ScheduleStep::Cpus(Some(cpus))),
                pointer: Pointer::to("/process/execCPUAffinity/final"),
                clause: CLAUSE,
            }),
        }
    }
}

/// The step that lets a process run on all CPUs of its cgroup, whatever the caller's affinity.
pub(super) fn all_cpus<'a>() -> Step<'a> {
    Step {
        action: Action::Schedule(ScheduleStep::Cpus(None)),
        pointer: Pointer::default(),
        clause: CLAUSE,
    }
}

fn cpus(list: Option<&Text<'_>>, which: &str) -> Result<Option<NumberList>> {
    let Some(text) = list.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let at = || format!("/process/execCPUAffinity/{}", which.to_lowercase());
    let list = NumberList::parse(text)
        .map_err(|why| Error::config(at(), format!("bad CPUAffinity.{which}: {why}")))?;
    if list.is_empty() {
        return Err(Error::config(
            at(),
            format!("bad CPUAffinity.{which}: no members found in set {text:?}"),
        ));
    }
    Ok(Some(list))
}

/// The steps of priorities, which need the rights that the process then gives up.
///
/// # Errors
/// For a value that sched_setattr(2) or ioprio_set(2) has no number for, and for one that would
/// have no effect, with its place.
pub(super) fn priorities(
    process: &Process<'_>,
    on_some_cpus: bool,
    steps: &mut Vec<Step<'_>>,
) -> Result<()> {
    if let Some(wanted) = &process.scheduler {
        steps.push(Step {
            action: Action::Schedule(ScheduleStep::Policy(scheduler(wanted, on_some_cpus)?)),
            pointer: Pointer::to("/process/scheduler"),
            clause: CLAUSE,
        });
    }
    if let Some(wanted) = &process.io_priority {
        steps.push(Step {
            action: Action::Schedule(ScheduleStep::IoPriority(io_priority(wanted)?)),
            pointer: Pointer::to("/process/ioPriority"),
            clause: CLAUSE,
        });
    }
    Ok(())
}

fn scheduler(wanted: &Scheduler<'_>, on_some_cpus: bool) -> Result<SchedulerStep> {
    let refuse = |key: &str, problem: String| {
        Err(Error::config(format!("/process/scheduler/{key}"), problem))
    };
    if wanted.policy.is_empty() {
        return refuse("policy", "scheduler policy is required".to_owned());
    }
    let Some(&(policy_name, policy)) = POLICIES.iter().find(|(name, _)| *name == &*wanted.policy)
    else {
        return refuse(
            "policy",
            format!("invalid scheduler policy: {}", wanted.policy),
        );
    };
    let is = |names: &[&str]| names.contains(&policy_name);
    if is(&["SCHED_OTHER", "SCHED_BATCH"]) && !(-20..=19).contains(&wanted.nice) {
        let nice = wanted.nice;
        return refuse(
            "nice",
            format!("invalid scheduler.nice: {nice} when scheduler.policy is {policy_name}"),
        );
    }
    if wanted.priority != 0 && !is(&["SCHED_FIFO", "SCHED_RR"]) {
        return refuse(
            "priority",
            "scheduler.priority can only be specified for SchedFIFO or SchedRR policy".to_owned(),
        );
    }
    let Ok(priority) = u32::try_from(wanted.priority) else {
        return refuse(
            "priority",
            format!("invalid scheduler.priority: {}", wanted.priority),
        );
    };
    if [wanted.runtime, wanted.deadline, wanted.period] != [0; 3] && !is(&["SCHED_DEADLINE"]) {
        return refuse(
            "runtime",
            "scheduler runtime/deadline/period can only be specified for SchedDeadline policy"
                .to_owned(),
        );
    }
    let mut flags = 0;
    for (index, flag) in wanted.flags.iter().enumerate() {
        match FLAGS.iter().find(|(name, _)| *name == &**flag) {
            Some((_, bit)) => flags |= bit,
            None => {
                return refuse(
                    &format!("flags/{index}"),
                    format!("invalid scheduler flag: {flag}"),
                );
            }
        }
    }
    Ok(SchedulerStep {
        policy,
        policy_name,
        flags,
        nice: wanted.nice,
        priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
        on_some_cpus,
    })
}

fn io_priority(wanted: &IoPriority<'_>) -> Result<IoPriorityStep> {
    let Some(priority) = u32::try_from(wanted.priority).ok().filter(|it| *it <= 7) else {
        return Err(Error::config(
            "/process/ioPriority/priority",
            format!("invalid ioPriority.Priority: {}", wanted.priority),
        )
        .hint("0, the highest, to 7"));
    };
    let Some(&(class_name, class)) = IO_CLASSES.iter().find(|(name, _)| *name == &*wanted.class)
    else {
        return Err(Error::config(
            "/process/ioPriority/class",
            format!("invalid ioPriority.Class: {:?}", &*wanted.class),
        )
        .hint("IOPRIO_CLASS_RT, IOPRIO_CLASS_BE or IOPRIO_CLASS_IDLE"));
    };
    Ok(IoPriorityStep {
        class,
        class_name,
        priority,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(fields: &str) -> Result<Vec<Step<'static>>> {
        let text = format!("{{{fields}}}");
        let process: Process<'_> = serde_json::from_str(&text).unwrap();
        let mut steps = Vec::new();
        priorities(&process, false, &mut steps).map(|()| steps)
    }

    fn refusal(fields: &str) -> String {
        steps(fields).unwrap_err().to_string()
    }

    #[test]
    fn the_arguments_of_the_calls() {
        let steps = steps(
            r#""scheduler":{"policy":"SCHED_DEADLINE","nice":19,"runtime":1,"deadline":2,
               "period":3,"flags":["SCHED_FLAG_RESET_ON_FORK","SCHED_FLAG_DL_OVERRUN"]},
               "ioPriority":{"class":"IOPRIO_CLASS_IDLE"}"#,
        )
        .unwrap();
        let [scheduler, io] = &steps[..] else {
            panic!("{steps:?}")
        };
        assert!(matches!(
            scheduler.action,
            Action::Schedule(ScheduleStep::Policy(SchedulerStep {
                policy: 6,
                flags: 5,
                nice: 19,
                runtime: 1,
                deadline: 2,
                period: 3,
                ..
            }))
        ));
        assert!(
            matches!(io.action, Action::Schedule(ScheduleStep::IoPriority(step)) if step.value() == 3 << 13)
        );
    }

    #[test]
    fn what_would_have_no_effect_is_refused_in_runcs_words() {
        for (fields, words) in [
            (
                r#""policy":"""#,
                "scheduler policy is required (config.json /process/scheduler/policy)",
            ),
            (r#""policy":"SCHED_X""#, "invalid scheduler policy: SCHED_X"),
            (
                r#""policy":"SCHED_OTHER","nice":20"#,
                "invalid scheduler.nice: 20 when scheduler.policy is SCHED_OTHER",
            ),
            (
                r#""policy":"SCHED_BATCH","priority":1"#,
                "scheduler.priority can only be specified for SchedFIFO or SchedRR policy",
            ),
            (
                r#""policy":"SCHED_RR","priority":-1"#,
                "invalid scheduler.priority: -1",
            ),
            (
                r#""policy":"SCHED_IDLE","period":1"#,
                "scheduler runtime/deadline/period can only be specified for SchedDeadline policy",
            ),
            (
                r#""policy":"SCHED_IDLE","flags":["SCHED_FLAG_RECLAIM","X"]"#,
                "invalid scheduler flag: X (config.json /process/scheduler/flags/1)",
            ),
        ] {
            let refused = refusal(&format!(r#""scheduler":{{{fields}}}"#));
            assert!(refused.contains(words), "{fields}: {refused}");
        }
        for (fields, words) in [
            (
                r#""class":"IOPRIO_CLASS_BE","priority":8"#,
                "invalid ioPriority.Priority: 8",
            ),
            (
                r#""class":"IOPRIO_CLASS_BE","priority":-1"#,
                "invalid ioPriority.Priority: -1",
            ),
            (r#""class":"BE""#, "invalid ioPriority.Class: \"BE\""),
        ] {
            let refused = refusal(&format!(r#""ioPriority":{{{fields}}}"#));
            assert!(refused.contains(words), "{fields}: {refused}");
        }
    }

    #[test]
    fn affinity_is_reset_only_where_none_is_asked_for() {
        let affinity = |fields: &str| {
            let text = format!(r#"{{"execCPUAffinity":{fields}}}"#);
            let process: Process<'_> = serde_json::from_str(&text).unwrap();
            Affinity::of(&process)
        };
        let later = |fields| affinity(fields).unwrap().later().map(|step| step.action);
        assert!(matches!(
            later("null"),
            Some(Action::Schedule(ScheduleStep::Cpus(None)))
        ));
        assert!(matches!(
            later(r#"{"initial":""}"#),
            Some(Action::Schedule(ScheduleStep::Cpus(None)))
        ));
        assert!(later(r#"{"initial":"1"}"#).is_none());
        assert!(matches!(
            later(r#"{"initial":"1","final":"0-1"}"#),
            Some(Action::Schedule(ScheduleStep::Cpus(Some(cpus)))) if cpus.words() == [3]
        ));
        let refused = affinity(r#"{"final":"x"}"#).unwrap_err().to_string();
        assert!(
            refused.contains("/process/execCPUAffinity/final"),
            "{refused}"
        );
        assert!(affinity(r#"{"initial":","}"#).is_err());
    }
}
