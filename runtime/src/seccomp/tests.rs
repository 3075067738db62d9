//! What profiles are refused for, and where in config.json that is said to be.

use super::*;

fn refusal(profile: &str) -> String {
    let profile = serde_json::from_str(profile).unwrap();
    compile(&profile, &Abilities::probe())
        .unwrap_err()
        .to_string()
}

/// The refusal of a profile that has this entry of `syscalls` after another.
fn refusal_of_rule(rule: &str) -> String {
    refusal(&format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/agent", "syscalls":
            [{{"names": ["read"], "action": "SCMP_ACT_ALLOW"}}, {rule}]}}"#
    ))
}

#[test]
fn unknown_words_are_refused_where_they_stand() {
    for (rule, message) in [
        (
            r#"{"names": ["x"], "action": "ALLOW"}"#,
            "string ALLOW is not a valid action for seccomp (config.json \
             /linux/seccomp/syscalls/1/action; one of",
        ),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "args":
                [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "op": "=="}]}"#,
            "string == is not a valid operator for seccomp (config.json \
             /linux/seccomp/syscalls/1/args/1/op)",
        ),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_TRAP", "args":
                [{"index": 6, "op": "SCMP_CMP_EQ"}]}"#,
            "a system call has no argument 6: they are 0 to 5 (config.json \
             /linux/seccomp/syscalls/1/args/0/index)",
        ),
        (
            r#"{"names": ["read", ""], "action": "SCMP_ACT_TRAP"}"#,
            "empty string is not a valid syscall (config.json \
             /linux/seccomp/syscalls/1/names/1)",
        ),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1}"#,
            "SCMP_ACT_ALLOW has no errno to return (config.json \
             /linux/seccomp/syscalls/1/errnoRet)",
        ),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}"#,
            "4096 is no errno: SCMP_ACT_ERRNO can return 4095 at most (config.json \
             /linux/seccomp/syscalls/1/errnoRet)",
        ),
        (
            r#"{"names": ["read"], "action": "SCMP_ACT_TRACE", "errnoRet": 65536}"#,
            "65536 is no errno: SCMP_ACT_TRACE can return 65535 at most (config.json \
             /linux/seccomp/syscalls/1/errnoRet)",
        ),
        (
            r#"{"names": ["close", "write"], "action": "SCMP_ACT_NOTIFY"}"#,
            "SCMP_ACT_NOTIFY cannot be used for the write syscall (config.json \
             /linux/seccomp/syscalls/1/names/1)",
        ),
    ] {
        let refusal = refusal_of_rule(rule);
        assert!(refusal.starts_with(message), "{refusal}");
    }
    for (profile, message) in [
        (
            r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#,
            "SCMP_ACT_NOTIFY cannot be used as default action (config.json \
             /linux/seccomp/defaultAction;",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_KILL", "architectures": ["SCMP_ARCH_X86", "x86"]}"#,
            "string x86 is not a valid arch for seccomp (config.json \
             /linux/seccomp/architectures/1)",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_KILL", "flags": ["SECCOMP_FILTER_FLAG_X"]}"#,
            "seccomp flag SECCOMP_FILTER_FLAG_X is not known to windlass (config.json \
             /linux/seccomp/flags/0)",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_KILL",
                "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is about calls that",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
                [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "seccomp listenerPath is not set (config.json /linux/seccomp/listenerPath;",
        ),
    ] {
        let refusal = refusal(profile);
        assert!(refusal.starts_with(message), "{refusal}");
    }
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let profile = |second: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                {{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args":
                    [{{"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}}]}},
                {{"names": ["socket"], "action": "{second}", "args":
                    [{{"index": 1, "value": 5, "op": "SCMP_CMP_EQ"}}]}}]}}"#
        )
    };
    let refusal = refusal(&profile("SCMP_ACT_TRAP"));
    assert!(
        refusal.starts_with("two rules on socket contradict each other"),
        "{refusal}"
    );
    let same = profile("SCMP_ACT_ALLOW");
    assert!(compile(&serde_json::from_str(&same).unwrap(), &Abilities::probe()).is_ok());
}

#[test]
fn flags_are_runcs() {
    let flags = |flags: &str| {
        let profile = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW" {flags}}}"#);
        let profile = serde_json::from_str(&profile).unwrap();
        compile(&profile, &Abilities::probe())
            .unwrap()
            .flags()
            .bits()
    };
    assert_eq!(flags(""), 4);
    assert_eq!(flags(r#", "flags": []"#), 0);
    assert_eq!(flags(r#", "flags": ["SECCOMP_FILTER_FLAG_TSYNC"]"#), 0);
    assert_eq!(
        flags(r#", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]"#),
        6
    );
    let notify = r#", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], "listenerPath": "/a",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]"#;
    assert_eq!(flags(notify), 32 + 8);
}

#[test]
fn unknown_names_are_listed() {
    let profile = serde_json::from_str(
        r#"{"syscalls": [{"names": ["read", "sys_new"], "action": "SCMP_ACT_ALLOW"}]}"#,
    )
    .unwrap();
    assert_eq!(unknown_names(&profile).collect::<Vec<_>>(), ["sys_new"]);
}

#[test]
fn a_filter_that_the_kernel_would_not_take_is_refused() {
    let equal = |value: u32| {
        let value = u64::from(value) << 32 | u64::from(value);
        format!(
            r#"{{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args":
                [{{"index": 1, "value": {value}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    let rules: Vec<String> = (0..1100).map(equal).collect();
    let profile = format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}]}}"#,
        rules.join(",")
    );
    let refusal = refusal(&profile);
    assert!(refusal.contains("the kernel takes 4096"), "{refusal}");
}
