//! `linux.netDevices` to its steps.

use std::collections::BTreeMap;
use std::fmt;

use super::{Action, Pointer, Step};
use crate::error::{Error, Result};
use crate::spec::{NetDevice, Text};

/// One network device that moves into the container's network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetDeviceStep<'a> {
    /// Its name on the host.
    pub name: &'a str,
    /// Its name in the container; `%d` in it is for the kernel to fill in.
    pub new_name: &'a str,
}

impl fmt::Display for NetDeviceStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "move the network device {} into the container",
            self.name
        )?;
        if self.name == self.new_name {
            Ok(())
        } else {
            write!(f, " as {}", self.new_name)
        }
    }
}

/// # Errors
/// For a name that no device can have, and where the container has no network namespace of its
/// own or we have no right to move devices.
pub(super) fn steps<'a>(
    devices: &'a BTreeMap<Text<'a>, NetDevice<'a>>,
    has_namespace: bool,
    may_move: bool,
    steps: &mut Vec<Step<'a>>,
) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let refuse = |problem| Err(Error::config("/linux/netDevices", problem));
    if !has_namespace {
        return refuse("unable to move network devices without a NET namespace");
    }
    if !may_move {
        return refuse("network devices are not supported for rootless containers");
    }
    for (name, device) in devices {
        let pointer = Pointer::member("/linux/netDevices", name);
        let new_name = if device.name.is_empty() {
            name
        } else {
            &device.name
        };
        for (name, template) in [(name, false), (new_name, true)] {
            if !is_device_name(name, template) {
                return Err(Error::config(
                    pointer.to_string(),
                    format!("invalid network device name {:?}", &**name),
                ));
            }
        }
        steps.push(Step {
            action: Action::MoveNetDevice(NetDeviceStep { name, new_name }),
            pointer,
            clause: "config-linux.md#network-devices",
        });
    }
    Ok(())
}

/// As the kernel has it (`dev_valid_name` and `dev_prep_valid_name` in net/core/dev.c), with
/// `%d` where the kernel is to choose a number.
fn is_device_name(name: &str, template: bool) -> bool {
    const LONGEST: usize = libc::IFNAMSIZ - 1;
    let plain = if template {
        name.replacen("%d", "", 1)
    } else {
        name.to_owned()
    };
    !name.is_empty()
        && name.len() <= LONGEST
        && name != "."
        && name != ".."
        && !plain.contains('%')
        && !name
            .bytes()
            .any(|byte| matches!(byte, b'/' | b':' | 0) || byte.is_ascii_whitespace() || byte == 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str, has_namespace: bool, may_move: bool) -> Result<Vec<String>, String> {
        let devices: BTreeMap<Text<'_>, NetDevice<'_>> = serde_json::from_str(text).unwrap();
        let mut list = Vec::new();
        steps(&devices, has_namespace, may_move, &mut list).map_err(|error| error.to_string())?;
        Ok(list.iter().map(|step| step.action.to_string()).collect())
    }

    #[test]
    fn a_device_keeps_its_name_unless_told() {
        assert_eq!(
            planned(r#"{"eth0":{},"eth1":{"name":"net%d"}}"#, true, true).unwrap(),
            [
                "move the network device eth0 into the container",
                "move the network device eth1 into the container as net%d"
            ]
        );
        assert!(planned("{}", false, false).unwrap().is_empty());
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\\tb",
            "%d",
            "a%s",
            "0123456789abcdef",
        ] {
            let refused = planned(&format!(r#"{{"{name}":{{}}}}"#), true, true).unwrap_err();
            assert!(
                refused.contains("invalid network device name"),
                "{name:?}: {refused}"
            );
        }
        for name in ["a%d%d", "a%s", "a b"] {
            assert!(planned(&format!(r#"{{"a":{{"name":"{name}"}}}}"#), true, true).is_err());
        }
        let refused = planned(r#"{"a":{}}"#, false, true).unwrap_err();
        assert!(refused.contains("without a NET namespace"), "{refused}");
        let refused = planned(r#"{"a":{}}"#, true, false).unwrap_err();
        assert!(refused.contains("rootless"), "{refused}");
    }
}
