//! `linux.seccomp`: actions, argument comparisons, and Docker's default profile.

use serde_json::{Value, json};

use crate::case::{
    Case, Known, NEW_CRUN, Need, OLD_CRUN, OLD_RUNC, RUNC, Stop, Verdict, check, equal,
};
use crate::harness::Context;
use crate::harness::seccomp_agent::{Answers, SeccompAgent};
use crate::probe::Observation;

/// Docker's default profile as dockerd writes it into config.json for the default capabilities.
const DOCKER_PROFILE: &str = include_str!("../../profiles/docker-default-seccomp.json");

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "seccomp/metadata-without-agent",
        "listenerMetadata without listenerPath is refused",
        "sets it alone",
        |context| {
            context.must_refuse_with(|config| {
                config["linux"]["seccomp"] =
                    json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "text" });
            })?;
            Ok(())
        },
    )
    .clause(
        "config-linux.md",
        "Seccomp",
        "This field MUST NOT be set if `listenerPath` is not set.",
    )
    .known(&[
        Known {
            runtimes: crate::case::RUNC,
            why: "is ignored",
        },
        Known {
            runtimes: crate::case::CRUN,
            why: "is ignored",
        },
    ]),
    Case::must(
        "seccomp/errno",
        "SCMP_ACT_ERRNO makes a call fail with errnoRet, by default EPERM",
        "refuses getcpu with EPERM and getpriority with errnoRet 42",
        errno,
    )
    .clause(
        "config-linux.md",
        "Seccomp",
        "errnoRet (uint, OPTIONAL) - the errno return code to use",
    )
    .needs(&[Need::SeccompAction("errno")]),
    Case::must(
        "seccomp/default-errno",
        "defaultErrnoRet is what a call gets that no rule names",
        "allows Docker's list with a default of ENOSYS",
        default_errno,
    )
    .clause(
        "config-linux.md",
        "Seccomp",
        "defaultErrnoRet (uint, OPTIONAL) - the errno return code",
    )
    .needs(&[Need::SeccompAction("errno")]),
    Case::must(
        "seccomp/filter-mode",
        "with linux.seccomp the program runs in filter mode",
        "reads Seccomp in /proc/self/status, with no_new_privs and without",
        filter_mode,
    )
    .clause(
        "config-linux.md",
        "Seccomp",
        "allows one to configure actions to take for matched syscalls",
    ),
    Case::must(
        "seccomp/none",
        "without linux.seccomp the program runs unfiltered",
        "reads Seccomp in /proc/self/status",
        unfiltered,
    )
    .clause("config-linux.md", "Seccomp", "seccomp (object, OPTIONAL)"),
    Case::must(
        "seccomp/kill-process",
        "SCMP_ACT_KILL_PROCESS ends the program by SIGSYS",
        "lets getcpu kill: run exits with 128 + 31",
        kill_process,
    )
    .clause("config-linux.md", "Seccomp", "SCMP_ACT_KILL_PROCESS")
    .needs(&[Need::SeccompAction("kill_process")]),
    Case::must(
        "seccomp/arguments-equal",
        "a rule with SCMP_CMP_EQ matches one value only",
        "refuses getpriority's first argument 1",
        arguments_equal,
    )
    .clause(
        "config-linux.md",
        "Seccomp",
        "op (string, REQUIRED) - the operator for syscall arguments",
    ),
    Case::must(
        "seccomp/arguments-operators",
        "NE, LT, LE, GE, GT and MASKED_EQ compare as libseccomp does",
        "one call a rule, with values on both sides of each border",
        arguments_operators,
    )
    .clause("config-linux.md", "Seccomp", "SCMP_CMP_MASKED_EQ"),
    Case::must(
        "seccomp/arguments-64-bit",
        "comparisons look at all 64 bits",
        "refuses 0x1_0000_0005: 5 alone passes",
        arguments_wide,
    )
    .clause("config-linux.md", "Seccomp", "value (uint64, REQUIRED)"),
    Case::contract(
        "seccomp/docker-profile",
        "Docker's default profile refuses what it should, and lets programs run",
        "makes 20 calls under the profile and compares each errno",
        docker_profile,
    )
    .clause(
        "Docker",
        "default seccomp profile",
        "profiles/seccomp/default.json",
    )
    .needs(&[Need::SeccompAction("errno")]),
    Case::contract(
        "seccomp/docker-profile-for-a-user",
        "Docker's profile works for a plain user with no_new_privs",
        "runs as 1000 with the profile and noNewPrivileges",
        docker_profile_user,
    )
    .clause(
        "Docker",
        "default seccomp profile",
        "profiles/seccomp/default.json",
    ),
    Case::contract(
        "seccomp/unknown-name",
        "a system call that the runtime doesn't know is no error",
        "names no_such_call beside getcpu",
        unknown_name,
    )
    .clause("runc", "seccomp", "names of newer kernels are skipped"),
    Case::must(
        "seccomp/unknown-action",
        "an action that doesn't exist is refused",
        "sets SCMP_ACT_SHRUG",
        unknown_action,
    )
    .clause(
        "config.md",
        "Valid values",
        "MUST generate an error when invalid or unsupported values",
    ),
    Case::must(
        "seccomp/errno-on-allow",
        "errnoRet beside an action that has none is refused",
        "gives SCMP_ACT_KILL_PROCESS an errnoRet",
        errno_on_kill,
    )
    .clause(
        "config-linux.md",
        "Seccomp",
        "When the action doesn't support an errno, the runtime MUST [...] fail",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "ignores errnoRet where the action has none",
    }]),
    Case::must(
        "seccomp/notify",
        "SCMP_ACT_NOTIFY asks the agent at listenerPath",
        "an agent refuses getcpu, with no_new_privs and without",
        notify,
    )
    .clause(
        "config-linux.md",
        "Seccomp",
        "listenerPath - specifies the path of UNIX domain socket",
    )
    .needs(&[Need::SeccompAction("user_notif")]),
    Case::contract(
        "seccomp/notify-of-calls-in-between",
        "an agent may be asked about calls that the runtime itself makes up to execve",
        "names execve, open, read, close, fcntl, sendmsg and others; the agent lets them pass",
        notify_in_between,
    )
    .clause(
        "runc",
        "seccomp",
        "important syscalls (some might be executed by runc) work fine",
    )
    .needs(&[Need::SeccompAction("user_notif")])
    .known(&[
        Known {
            runtimes: OLD_RUNC,
            why: "makes a call of them before the agent has the listener, and waits forever",
        },
        Known {
            runtimes: OLD_CRUN,
            why: "makes a call of them before the agent has the listener, and waits forever",
        },
    ]),
    Case::must(
        "seccomp/notify-state",
        "the agent is sent one container process state for each process",
        "reads what create and exec send: names of descriptors, pids, metadata, state",
        notify_state,
    )
    .clause(
        "config-linux.md",
        "The Container Process State",
        "fds (array, OPTIONAL) is a string array containing the names",
    )
    .needs(&[Need::SeccompAction("user_notif")])
    .known(&[
        Known {
            runtimes: OLD_CRUN,
            why: "hands no listener over for a process that exec starts",
        },
        Known {
            runtimes: NEW_CRUN,
            why: "writes the pid of the process itself, or 0, where the state has the container's",
        },
    ]),
    Case::contract(
        "seccomp/notify-without-agent",
        "without an agent the container is refused, and with one that is gone calls give ENOSYS",
        "has nobody at listenerPath; then one that closes the descriptor",
        notify_without_agent,
    )
    .clause(
        "runc",
        "seccomp",
        "failed to connect with seccomp agent specified in the seccomp profile",
    )
    .needs(&[Need::SeccompAction("user_notif")]),
    Case::contract(
        "seccomp/notify-leaves-no-descriptor",
        "neither the program nor a startContainer hook inherits the filter's listener",
        "looks at their descriptors",
        notify_descriptors,
    )
    .clause(
        "runc",
        "seccomp",
        "a startContainer hook gets no extra file descriptor",
    )
    .needs(&[Need::SeccompAction("user_notif")]),
];

/// A profile that allows all but what the rules say.
pub(super) fn deny(rules: Value) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": rules,
    })
}

pub(super) fn see(
    context: &Context,
    questions: &[&str],
    profile: Value,
) -> Result<Observation, Stop> {
    context.see_with(questions, |config| config["linux"]["seccomp"] = profile)
}

fn errno(context: &Context) -> Verdict {
    let questions = ["call:getcpu", "call:getpriority:0:0", "call:getppid"];
    let profile = deny(json!([
        { "names": ["getcpu"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42 },
    ]));
    let seen = see(context, &questions, profile)?;
    equal("getcpu", seen.answer(questions[0]).errno, Some(libc::EPERM))?;
    equal("getpriority", seen.answer(questions[1]).errno, Some(42))?;
    equal("getppid", seen.answer(questions[2]).errno, None)
}

fn default_errno(context: &Context) -> Verdict {
    let mut profile: Value = serde_json::from_str(DOCKER_PROFILE)?;
    profile["defaultErrnoRet"] = json!(libc::ENOSYS);
    let seen = see(context, &["call:acct", "call:getcpu"], profile)?;
    equal("acct", seen.answer("call:acct").errno, Some(libc::ENOSYS))?;
    equal("getcpu", seen.answer("call:getcpu").errno, None)
}

fn filter_mode(context: &Context) -> Verdict {
    for no_new_privileges in [false, true] {
        let seen = context.see_with(&[], |config| {
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["linux"]["seccomp"] =
                deny(json!([{ "names": ["getcpu"], "action": "SCMP_ACT_ERRNO" }]));
        })?;
        equal("Seccomp", seen.seccomp, Some(2))?;
        equal(
            "NoNewPrivs",
            seen.no_new_privileges,
            Some(u64::from(no_new_privileges)),
        )?;
    }
    Ok(())
}

fn unfiltered(context: &Context) -> Verdict {
    equal("Seccomp", context.see_with(&[], |_| {})?.seccomp, Some(0))
}

fn kill_process(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see", "call:getcpu"]);
    bundle.config["linux"]["seccomp"] =
        deny(json!([{ "names": ["getcpu"], "action": "SCMP_ACT_KILL_PROCESS" }]));
    let (_container, output) = context.attempt("run", &bundle, &[])?;
    equal("exit status", output.status, 128 + libc::SIGSYS)
}

fn arguments_equal(context: &Context) -> Verdict {
    let questions = ["call:getpriority:0:0", "call:getpriority:1:0"];
    let profile = deny(json!([{
        "names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42,
        "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }],
    }]));
    let seen = see(context, &questions, profile)?;
    equal("with 0", seen.answer(questions[0]).errno, None)?;
    equal("with 1", seen.answer(questions[1]).errno, Some(42))
}

fn arguments_operators(context: &Context) -> Verdict {
    /// Operator, value, second value, arguments that match, arguments that don't.
    type Comparison = (
        &'static str,
        u64,
        Option<u64>,
        &'static [u64],
        &'static [u64],
    );
    // setns(fd, type): an unfiltered call with these numbers fails with EBADF or EINVAL.
    let comparisons: [Comparison; 6] = [
        ("SCMP_CMP_NE", 500, None, &[499, 501], &[500]),
        ("SCMP_CMP_LT", 500, None, &[499], &[500, 501]),
        ("SCMP_CMP_LE", 500, None, &[499, 500], &[501]),
        ("SCMP_CMP_GE", 500, None, &[500, 501], &[499]),
        ("SCMP_CMP_GT", 500, None, &[501], &[499, 500]),
        (
            "SCMP_CMP_MASKED_EQ",
            0xf0,
            Some(0x20),
            &[0x20, 0x12f],
            &[0x30, 0x10f],
        ),
    ];
    for (operator, value, second, hits, misses) in comparisons {
        let question = |number: &u64| format!("call:setns:{number}:0");
        let asked: Vec<String> = hits.iter().chain(misses).map(question).collect();
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let mut argument = json!({ "index": 0, "value": value, "op": operator });
        if let Some(second) = second {
            argument["valueTwo"] = json!(second);
        }
        let profile = deny(json!([{
            "names": ["setns"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42, "args": [argument],
        }]));
        let seen = see(context, &asked, profile)?;
        for (numbers, refused) in [(hits, true), (misses, false)] {
            for number in numbers {
                let errno = seen.answer(&question(number)).errno;
                check(
                    (errno == Some(42)) == refused,
                    format_args!("{operator} {value}: the argument {number} got errno {errno:?}"),
                )?;
            }
        }
    }
    Ok(())
}

fn arguments_wide(context: &Context) -> Verdict {
    let questions = ["call:getpriority:0:4294967301", "call:getpriority:0:5"];
    let profile = deny(json!([{
        "names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42,
        "args": [{ "index": 1, "value": 4_294_967_301_u64, "op": "SCMP_CMP_EQ" }],
    }]));
    let seen = see(context, &questions, profile)?;
    equal(
        "with all 33 bits",
        seen.answer(questions[0]).errno,
        Some(42),
    )?;
    check(
        seen.answer(questions[1]).errno != Some(42),
        "the lower 32 bits alone matched",
    )
}

/// What Docker's profile makes of calls that have no other effect with these arguments.
const UNDER_DOCKER: &[(&str, Option<i32>)] = &[
    ("call:acct", Some(libc::EPERM)),
    ("call:add_key", Some(libc::EPERM)),
    ("call:bpf", Some(libc::EPERM)),
    ("call:delete_module", Some(libc::EPERM)),
    ("call:finit_module", Some(libc::EPERM)),
    ("call:init_module", Some(libc::EPERM)),
    ("call:kexec_load", Some(libc::EPERM)),
    ("call:keyctl:0:0", Some(libc::EPERM)),
    ("call:mount", Some(libc::EPERM)),
    ("call:open_by_handle_at", Some(libc::EPERM)),
    ("call:perf_event_open", Some(libc::EPERM)),
    ("call:pivot_root", Some(libc::EPERM)),
    ("call:request_key", Some(libc::EPERM)),
    ("call:setns:4711:0", Some(libc::EPERM)),
    ("call:swapon", Some(libc::EPERM)),
    ("call:unshare:268435456", Some(libc::EPERM)),
    ("call:userfaultfd:0", Some(libc::EPERM)),
    ("call:personality:4294967295", None),
    ("call:personality:1", Some(libc::EPERM)),
    ("call:clone3:0:0", Some(libc::ENOSYS)),
    ("call:getppid", None),
    ("call:getcpu", None),
];

fn docker_profile(context: &Context) -> Verdict {
    let questions: Vec<&str> = UNDER_DOCKER.iter().map(|(question, _)| *question).collect();
    // With every capability, so that it is the filter that refuses.
    let every = json!(context.host.capabilities);
    let seen = context.see_with(&questions, |config| {
        config["process"]["capabilities"] =
            json!({ "bounding": every, "permitted": every, "effective": every });
        if let Ok(profile) = serde_json::from_str(DOCKER_PROFILE) {
            config["linux"]["seccomp"] = profile;
        }
    })?;
    equal("Seccomp", seen.seccomp, Some(2))?;
    for (question, errno) in UNDER_DOCKER {
        equal(question, seen.answer(question).errno, *errno)?;
    }
    Ok(())
}

fn docker_profile_user(context: &Context) -> Verdict {
    let profile: Value = serde_json::from_str(DOCKER_PROFILE)?;
    let seen = context.see_with(&["call:bpf"], |config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        config["process"]["noNewPrivileges"] = json!(true);
        config["process"]["capabilities"] = json!({});
        config["linux"]["seccomp"] = profile;
    })?;
    equal("Seccomp", seen.seccomp, Some(2))?;
    equal("uid", seen.uid, [1000, 1000])?;
    equal("bpf", seen.answer("call:bpf").errno, Some(libc::EPERM))
}

fn unknown_name(context: &Context) -> Verdict {
    let profile =
        deny(json!([{ "names": ["no_such_call", "getcpu"], "action": "SCMP_ACT_ERRNO" }]));
    let seen = see(context, &["call:getcpu"], profile)?;
    equal(
        "getcpu",
        seen.answer("call:getcpu").errno,
        Some(libc::EPERM),
    )
}

fn unknown_action(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["seccomp"] =
            deny(json!([{ "names": ["getcpu"], "action": "SCMP_ACT_SHRUG" }]));
    })?;
    Ok(())
}

fn errno_on_kill(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["seccomp"] = deny(json!([
            { "names": ["getcpu"], "action": "SCMP_ACT_KILL_PROCESS", "errnoRet": 42 },
        ]));
    })?;
    Ok(())
}

/// A profile that asks the agent about these calls.
fn ask(agent: &SeccompAgent, names: &[&str]) -> Value {
    let mut profile = deny(json!([{ "names": names, "action": "SCMP_ACT_NOTIFY" }]));
    profile["listenerPath"] = json!(agent.socket);
    profile["listenerMetadata"] = json!("of this case");
    profile
}

fn agent(context: &Context, answers: Answers) -> Result<SeccompAgent, Stop> {
    let number = context.next_number();
    SeccompAgent::start(context.directory.join(format!("{number}.agent")), answers)
}

fn notify(context: &Context) -> Verdict {
    let agent = agent(context, Answers::Refuse(libc::SYS_getcpu, 61))?;
    for no_new_privileges in [false, true] {
        let seen = context.see_with(&["call:getcpu", "call:getppid"], |config| {
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["linux"]["seccomp"] = ask(&agent, &["getcpu"]);
        })?;
        equal("getcpu", seen.answer("call:getcpu").errno, Some(61))?;
        equal("getppid", seen.answer("call:getppid").errno, None)?;
    }
    Ok(())
}

fn notify_in_between(context: &Context) -> Verdict {
    let agent = agent(context, Answers::Refuse(libc::SYS_getcpu, 61))?;
    let names = [
        "getcpu", "execve", "open", "openat", "read", "close", "fcntl", "sendmsg", "recvmsg",
    ];
    for no_new_privileges in [false, true] {
        let seen = context.see_with(&["call:getcpu"], |config| {
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["linux"]["seccomp"] = ask(&agent, &names);
        })?;
        equal("getcpu", seen.answer("call:getcpu").errno, Some(61))?;
    }
    Ok(())
}

fn notify_state(context: &Context) -> Verdict {
    for no_new_privileges in [false, true] {
        let agent = agent(context, Answers::Refuse(libc::SYS_getcpu, 61))?;
        let mut bundle = context.bundle()?;
        bundle.config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        bundle.config["annotations"] = json!({ "of.the": "case" });
        bundle.config["linux"]["seccomp"] = ask(&agent, &["getcpu"]);
        let directory = bundle.directory.clone();
        let container = context.started(bundle)?;
        let pid = container.pid()?;
        container
            .call("exec", &[], &["/probe", "probe", "exit", "0"])?
            .must_work()?;
        let met = agent.met_both()?;
        let [of_create, of_exec] = &met;
        for state in [of_create, of_exec] {
            equal("fds", &state["fds"], &json!(["seccompFd"]))?;
            equal("metadata", &state["metadata"], &json!("of this case"))?;
            equal("state.id", &state["state"]["id"], &json!(container.id))?;
            equal("state.pid", &state["state"]["pid"], &json!(pid))?;
            equal("state.bundle", &state["state"]["bundle"], &json!(directory))?;
            check(
                state["ociVersion"].is_string() && state["state"]["ociVersion"].is_string(),
                "an ociVersion is missing",
            )?;
        }
        equal("pid", &of_create["pid"], &json!(pid))?;
        check(
            of_exec["pid"]
                .as_i64()
                .is_some_and(|other| other != i64::from(pid)),
            format_args!("exec's pid: {}", of_exec["pid"]),
        )?;
        let annotations = &of_create["state"]["annotations"];
        equal("state.annotations", &annotations["of.the"], &json!("case"))?;
        let status = |state: &Value| state["state"]["status"].as_str().map(str::to_owned);
        equal("status", status(of_create).as_deref(), Some("creating"))?;
        equal("exec's status", status(of_exec).as_deref(), Some("running"))?;
        container.stop()?;
    }
    Ok(())
}

fn notify_without_agent(context: &Context) -> Verdict {
    let gone = agent(context, Answers::Nothing)?;
    let seen = see(context, &["call:getcpu"], ask(&gone, &["getcpu"]))?;
    equal(
        "getcpu",
        seen.answer("call:getcpu").errno,
        Some(libc::ENOSYS),
    )?;

    let mut profile = ask(&gone, &["getcpu"]);
    profile["listenerPath"] = json!(context.directory.join("nobody"));
    let refusal = context.must_refuse_with(|config| config["linux"]["seccomp"] = profile)?;
    check(
        refusal.stderr().contains("seccomp"),
        format_args!("the message names no agent: {}", refusal.description()),
    )
}

fn notify_descriptors(context: &Context) -> Verdict {
    let agent = agent(context, Answers::Refuse(libc::SYS_getcpu, 61))?;
    let mut bundle = context.bundle()?;
    bundle.config["linux"]["seccomp"] = ask(&agent, &["getcpu"]);
    bundle.config["hooks"] = json!({ "startContainer": [{
        "path": "/probe", "args": ["probe", "probe", "hook", "/tmp/visits", "start"],
    }] });
    let visits = bundle.rootfs().join("tmp/visits");
    let seen = context.see(bundle, &[])?;
    let numbers = |seen: Observation| seen.descriptors.into_keys().collect::<Vec<i32>>();
    equal("the program's", numbers(seen), vec![0, 1, 2])?;
    let hook: Vec<Vec<i32>> = crate::harness::visits(&visits)?
        .into_iter()
        .map(|visit| numbers(visit.seen))
        .collect();
    equal("the hook's", hook, vec![vec![0, 1, 2]])
}
