//! `linux.seccomp` (config-linux.md, "Seccomp").
//!
//! The types keep the words of config.json as they stand there, borrowed from its text: what they
//! mean, and which of them this host can do, is [`crate::seccomp`]'s part, which then can name the
//! JSON pointer of the word that it refuses.

use serde::Deserialize;

use super::{Text, null_is_default};

/// `linux.seccomp`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp<'a> {
    /// What happens to a system call that no rule matches; runc takes a profile that has neither
    /// this nor `syscalls` as no profile.
    #[serde(borrow)]
    pub default_action: Option<Text<'a>>,
    /// The errno of `defaultAction`, or the message to its tracer; EPERM if absent.
    pub default_errno_ret: Option<u64>,
    /// The architectures that the rules cover beside the machine's own.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub architectures: Vec<Text<'a>>,
    /// Flags of seccomp(2); absent is not the same as empty.
    #[serde(borrow)]
    pub flags: Option<Vec<Text<'a>>>,
    /// The socket of the seccomp agent that `SCMP_ACT_NOTIFY` asks.
    #[serde(borrow)]
    pub listener_path: Option<Text<'a>>,
    /// What the agent is told of this container.
    #[serde(borrow)]
    pub listener_metadata: Option<Text<'a>>,
    /// The rules.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub syscalls: Vec<Rule<'a>>,
}

/// One entry of `linux.seccomp.syscalls`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule<'a> {
    /// The system calls that the rule is about.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub names: Vec<Text<'a>>,
    /// What happens to them.
    #[serde(borrow)]
    pub action: Text<'a>,
    /// The errno of `action`, or the message to its tracer; EPERM if absent.
    pub errno_ret: Option<u64>,
    /// Conditions on their arguments: all must hold, except where several are about one argument
    /// (see [`crate::seccomp`]).
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub args: Vec<Argument<'a>>,
}

/// One entry of `linux.seccomp.syscalls[].args`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Argument<'a> {
    /// Which argument, 0 to 5.
    pub index: u64,
    /// What it is compared to; the mask of `SCMP_CMP_MASKED_EQ`.
    #[serde(default)]
    pub value: u64,
    /// What the masked argument is compared to by `SCMP_CMP_MASKED_EQ`.
    #[serde(default)]
    pub value_two: u64,
    /// How.
    #[serde(borrow)]
    pub op: Text<'a>,
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn names_are_borrowed_from_the_text() {
        let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "later": {},
            "architectures": null,
            "syscalls": [{"names": ["read", "wri\u0074e"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 18446744073709551615, "op": "SCMP_CMP_EQ"}]}]}"#;
        let seccomp: Seccomp = serde_json::from_str(text).unwrap();
        assert_eq!(seccomp.default_action.as_deref(), Some("SCMP_ACT_ERRNO"));
        assert_eq!(seccomp.default_errno_ret, Some(38));
        assert!(seccomp.architectures.is_empty() && seccomp.flags.is_none());
        let rule = &seccomp.syscalls[0];
        assert!(matches!(rule.names[0].0, Cow::Borrowed("read")));
        assert!(matches!(rule.names[1].0, Cow::Owned(ref name) if name == "write"));
        assert_eq!((rule.args[0].value, rule.args[0].value_two), (u64::MAX, 0));
    }

    #[test]
    fn an_absent_and_an_empty_list_of_flags_differ() {
        let absent: Seccomp = serde_json::from_str("{}").unwrap();
        let empty: Seccomp = serde_json::from_str(r#"{"flags": []}"#).unwrap();
        assert!(absent.flags.is_none());
        assert!(empty.flags.is_some_and(|flags| flags.is_empty()));
    }
}
