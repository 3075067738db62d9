//! From what is written into a cgroup's files to the unit's properties that say the same
//! (systemd.resource-control(5)).
//!
//! systemd knows only some of the files, and only some values. What it doesn't know it leaves
//! alone; what it knows differently the write after it sets right.

use std::borrow::Cow;

use super::super::device_rule::Rule;
use super::super::devices::v1_writes;
use super::super::hierarchies::Layout;
use super::super::limits::{Absent, Write};
use super::Unit;
use crate::dbus::Value;

/// `infinity`, `CGROUP_LIMIT_MAX`.
const INFINITY: u64 = u64::MAX;
/// The kernel's default of the period of processor time, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;
/// systemd keeps quotas in whole hundredths of a second of processor time a second.
const QUOTA_STEP: u64 = 10_000;

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its value.
    pub value: Value,
    /// The version of systemd that brought it; older ones are not told.
    pub since: u32,
}

impl Property {
    /// A property that every systemd knows.
    pub(super) fn new(name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        Property {
            name: name.into(),
            value: value.into(),
            since: 0,
        }
    }

    fn since(self, version: u32) -> Self {
        Property {
            since: version,
            ..self
        }
    }
}

impl Unit {
    /// What every container's unit has, as in runc: everything is accounted for, so that there are
    /// statistics; and no dependencies but its slice.
    pub fn base_properties(&self, layout: Layout) -> Vec<Property> {
        let io = match layout {
            Layout::V2 => "IOAccounting",
            Layout::V1 | Layout::Hybrid => "BlockIOAccounting",
        };
        vec![
            Property::new("Description", self.description.as_str()),
            Property::new("Slice", self.slice.as_str()),
            Property::new("Delegate", true),
            Property::new("MemoryAccounting", true),
            Property::new("CPUAccounting", true),
            Property::new(io, true),
            Property::new("TasksAccounting", true),
            Property::new("DefaultDependencies", false),
        ]
    }
}

/// Adds `property` in place of another of its name: later ones win.
pub fn put(properties: &mut Vec<Property>, property: Property) {
    properties.retain(|other| other.name != property.name);
    properties.push(property);
}

/// The properties that say what `writes` say, as far as systemd has any; for a unit that is to be
/// made, if `new`, with those too that can't be changed later.
///
/// `writes` are changed where the two would not agree, as runc does: a quota of processor time is
/// rounded up to what systemd makes of it, and an idle cgroup has no weight, about which `warn` is
/// told.
pub fn of_writes(
    writes: &mut Vec<Write<'_>>,
    layout: Layout,
    new: bool,
    warn: &mut dyn FnMut(&str),
) -> Vec<Property> {
    round_quota(writes);
    let idle = layout == Layout::V2
        && writes
            .iter()
            .rfind(|write| write.file == "cpu.idle")
            .is_some_and(|write| write.value == "1");
    if idle && writes.iter().any(|write| write.file == "cpu.weight") {
        warn("unable to apply both cpu.weight and cpu.idle to systemd, ignoring cpu.weight");
        writes.retain(|write| write.file != "cpu.weight");
    }
    let mut properties = Vec::new();
    for write in writes.iter() {
        of_write(write, new, &mut properties);
    }
    quota_of_v1(writes, &mut properties);
    if idle {
        put(&mut properties, Property::new("CPUWeight", 0).since(252));
    }
    properties
}

fn of_write(write: &Write<'_>, new: bool, properties: &mut Vec<Property>) {
    let value = write.value.trim();
    let property = match write.file.as_ref() {
        "memory.max" => limit("MemoryMax", value),
        "memory.high" => limit("MemoryHigh", value),
        "memory.low" => limit("MemoryLow", value),
        "memory.min" => limit("MemoryMin", value),
        "memory.swap.max" => limit("MemorySwapMax", value),
        "memory.limit_in_bytes" => limit("MemoryLimit", value),
        "memory.oom.group" if new => match value {
            "0" => Some(Property::new("OOMPolicy", "continue").since(253)),
            "1" => Some(Property::new("OOMPolicy", "kill").since(253)),
            _ => None,
        },
        "pids.max" => limit("TasksMax", value),
        "cpu.weight" => limit("CPUWeight", value),
        "cpu.shares" => limit("CPUShares", value),
        "cpu.max" => {
            let (quota, period) = quota_and_period(value);
            quota_properties(quota, period, properties);
            None
        }
        "cpuset.cpus" => set("AllowedCPUs", value),
        "cpuset.mems" => set("AllowedMemoryNodes", value),
        "io.weight" => weight("IOWeight", value),
        "io.bfq.weight" => match &write.absent {
            Absent::Instead { value, .. } => weight("IOWeight", value),
            _ => None,
        },
        "blkio.weight" | "blkio.bfq.weight" => weight("BlockIOWeight", value),
        _ => None,
    };
    if let Some(property) = property {
        put(properties, property);
    }
}

/// A number, or none; what is neither is for the kernel to refuse.
fn limit(name: &'static str, value: &str) -> Option<Property> {
    match value {
        "max" | "-1" => Some(INFINITY),
        value => value.parse().ok(),
    }
    .map(|limit: u64| Property::new(name, limit))
}

/// A weight for all devices; those of single devices are known to systemd by paths only.
fn weight(name: &'static str, value: &str) -> Option<Property> {
    let value = value.strip_prefix("default ").unwrap_or(value);
    value
        .parse()
        .ok()
        .map(|weight: u64| Property::new(name, weight))
}

/// A list such as `0-3,7`, as a set of bits, the lowest first.
fn set(name: &'static str, list: &str) -> Option<Property> {
    let mut bits = Vec::new();
    for range in list
        .split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty())
    {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        // No kernel has that many (CONFIG_NR_CPUS, MAX_NUMNODES).
        if last >= 1 << 16 {
            return None;
        }
        if bits.len() <= last / 8 {
            bits.resize(last / 8 + 1, 0_u8);
        }
        (first..=last).for_each(|bit| bits[bit / 8] |= 1 << (bit % 8));
    }
    (!bits.is_empty()).then(|| Property::new(name, Value::bytes(&bits)).since(244))
}

/// The properties that allow what `rules` allow, as far as systemd can say it. It can say which
/// devices are allowed, but not which alone are denied, nor all of one minor number.
///
/// The runtime enforces the rules itself. On v2 systemd's filter would work beside its own, so one
/// that allows less is worse than none; on v1 systemd would open all if it were told nothing.
pub fn of_devices(rules: &[Rule], layout: Layout) -> Vec<Property> {
    let strict = |list| {
        vec![
            Property::new("DevicePolicy", "strict"),
            Property::new("DeviceAllow", Value::Array("(ss)", list)),
        ]
    };
    let best = |list| match layout {
        Layout::V2 => Vec::new(),
        Layout::V1 | Layout::Hybrid => strict(list),
    };
    let Ok(writes) = v1_writes(rules) else {
        return best(Vec::new());
    };
    let (default, exceptions) = match writes.split_first() {
        Some((default, exceptions)) => (default.file.as_ref(), exceptions),
        None => return Vec::new(),
    };
    if default == "devices.allow" {
        return if exceptions.is_empty() {
            Vec::new()
        } else {
            best(Vec::new())
        };
    }
    let allowed: Vec<Value> = exceptions
        .iter()
        .filter_map(|write| allowed_devices(&write.value))
        .collect();
    if allowed.len() == exceptions.len() {
        strict(allowed)
    } else {
        best(allowed)
    }
}

/// `c 1:3 rwm` as `DeviceAllow` has it.
fn allowed_devices(rule: &str) -> Option<Value> {
    let mut words = rule.split(' ');
    let (kind, numbers, access) = (words.next()?, words.next()?, words.next()?);
    let kind = if kind == "b" { "block" } else { "char" };
    let devices = match numbers.split_once(':')? {
        ("*", "*") => format!("{kind}-*"),
        ("*", _) => return None,
        (major, "*") => format!("{kind}-{major}"),
        (major, minor) => format!("/dev/{kind}/{major}:{minor}"),
    };
    Some(Value::Struct(vec![
        Value::String(devices),
        Value::from(access),
    ]))
}

/// The two numbers of `cpu.max`; no quota for `max`.
fn quota_and_period(value: &str) -> (Option<u64>, Option<u64>) {
    let mut words = value.split_whitespace();
    let mut next = || words.next().and_then(|word| word.parse().ok());
    (next(), next())
}

fn quota_properties(quota: Option<u64>, period: Option<u64>, properties: &mut Vec<Property>) {
    if let Some(period) = period {
        put(
            properties,
            Property::new("CPUQuotaPeriodUSec", period).since(242),
        );
    }
    let per_second = quota.map_or(INFINITY, |quota| {
        per_second(quota, period.unwrap_or(DEFAULT_PERIOD))
    });
    put(properties, Property::new("CPUQuotaPerSecUSec", per_second));
}

/// On v1 the quota and its period are two files.
fn quota_of_v1(writes: &[Write<'_>], properties: &mut Vec<Property>) {
    let number = |file| {
        let write = writes.iter().rev().find(|write| write.file == file)?;
        Some(write.value.parse::<u64>().ok())
    };
    let (quota, period) = (number("cpu.cfs_quota_us"), number("cpu.cfs_period_us"));
    if quota.is_some() || period.is_some() {
        quota_properties(quota.flatten(), period.flatten(), properties);
    }
}

/// A quota in microseconds of each second, in systemd's steps.
fn per_second(quota: u64, period: u64) -> u64 {
    let exact = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
    u64::try_from(exact).map_or(INFINITY, |exact| {
        exact
            .checked_next_multiple_of(QUOTA_STEP)
            .unwrap_or(INFINITY)
    })
}

fn round_quota(writes: &mut [Write<'_>]) {
    let round = |quota: u64, period: u64| {
        let rounded = u128::from(per_second(quota, period)) * u128::from(period) / 1_000_000;
        u64::try_from(rounded).unwrap_or(quota)
    };
    let period_of_v1 = writes
        .iter()
        .find(|write| write.file == "cpu.cfs_period_us")
        .and_then(|write| write.value.parse().ok());
    for write in writes {
        match write.file.as_ref() {
            "cpu.max" => {
                if let (Some(quota), Some(period)) = quota_and_period(&write.value) {
                    write.value = format!("{} {period}", round(quota, period)).into();
                }
            }
            "cpu.cfs_quota_us" => {
                if let Ok(quota) = write.value.parse() {
                    let period = period_of_v1.unwrap_or(DEFAULT_PERIOD);
                    write.value = round(quota, period).to_string().into();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::devices::{default_rules, rules};
    use crate::cgroup::{Hierarchies, Hierarchy, Version, writes};

    fn host(layout: Layout) -> Hierarchies {
        let controllers = ["memory", "cpu", "cpuset", "pids", "io", "blkio"];
        Hierarchies {
            layout,
            list: vec![Hierarchy {
                version: Version::V2,
                name: String::new(),
                controllers: controllers.map(str::to_owned).to_vec(),
                mount_point: "/cg".into(),
                own: "/".into(),
            }],
        }
    }

    /// The properties for `resources`, as `NAME=VALUE`, and what is written for the quota.
    fn told(resources: &str, layout: Layout) -> (Vec<String>, Vec<String>) {
        let resources = serde_json::from_str(resources).unwrap();
        let mut writes = writes(&resources, &host(layout)).unwrap();
        let properties = of_writes(&mut writes, layout, true, &mut |_| ());
        let shown = |property: &Property| format!("{}={}", property.name, property.value);
        let quota = writes
            .iter()
            .filter(|write| write.file == "cpu.max" || write.file == "cpu.cfs_quota_us")
            .map(|write| write.value.to_string())
            .collect();
        (properties.iter().map(shown).collect(), quota)
    }

    #[test]
    fn limits_of_version_2() {
        let (properties, quota) = told(
            r#"{"memory": {"limit": 1048576, "reservation": 4096, "swap": 2097152},
                "pids": {"limit": -1}, "blockIO": {"weight": 1000},
                "cpu": {"shares": 1024, "quota": 3333, "period": 10000, "cpus": "0-2,9"},
                "unified": {"memory.high": "max", "memory.oom.group": "1"}}"#,
            Layout::V2,
        );
        assert_eq!(
            properties,
            [
                "TasksMax=infinity",
                "MemorySwapMax=1048576",
                "MemoryMax=1048576",
                "MemoryLow=4096",
                "IOWeight=10000",
                "CPUWeight=100",
                "CPUQuotaPeriodUSec=10000",
                "CPUQuotaPerSecUSec=340000",
                "AllowedCPUs=[0x07 0x02]",
                "MemoryHigh=infinity",
                "OOMPolicy=kill",
            ]
        );
        assert_eq!(quota, ["3400 10000"]);
    }

    #[test]
    fn limits_of_version_1() {
        let (properties, quota) = told(
            r#"{"memory": {"limit": 1048576}, "pids": {"limit": 0}, "blockIO": {"weight": 100},
                "cpu": {"shares": 512, "quota": 5001}}"#,
            Layout::V1,
        );
        assert_eq!(
            properties,
            [
                "MemoryLimit=1048576",
                "CPUShares=512",
                "TasksMax=1",
                "BlockIOWeight=100",
                "CPUQuotaPerSecUSec=60000",
            ]
        );
        assert_eq!(quota, ["6000"]);
    }

    #[test]
    fn what_unified_says_wins() {
        let (properties, _) = told(
            r#"{"cpu": {"shares": 3333, "quota": 40000, "period": 100000},
                "unified": {"cpu.max": "5000 50000", "cpu.weight": "42"}}"#,
            Layout::V2,
        );
        assert_eq!(
            properties,
            [
                "CPUQuotaPeriodUSec=50000",
                "CPUQuotaPerSecUSec=100000",
                "CPUWeight=42"
            ]
        );
        // An idle cgroup has no weight; and what systemd has no word for is left to the kernel.
        let (properties, _) = told(
            r#"{"cpu": {"shares": 3333, "idle": 1}, "unified": {"pids.max": "many"}}"#,
            Layout::V2,
        );
        assert_eq!(properties, ["CPUWeight=0"]);
    }

    #[test]
    fn a_quota_without_end_stays_so() {
        let (properties, quota) = told(r#"{"cpu": {"quota": -1}}"#, Layout::V2);
        assert_eq!(
            properties,
            ["CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=infinity"]
        );
        assert_eq!(quota, ["max 100000"]);
    }

    fn allowed(devices: &str, layout: Layout) -> String {
        let text = format!("{{\"devices\": {devices}}}");
        let mut rules = rules(&serde_json::from_str(&text).unwrap()).unwrap();
        rules.extend(default_rules());
        let properties = of_devices(&rules, layout);
        let shown: Vec<_> = properties
            .iter()
            .map(|property| format!("{}={}", property.name, property.value))
            .collect();
        shown.join(" ")
    }

    #[test]
    fn devices_are_allowed_one_by_one() {
        let usual = r#"[{"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]"#;
        for layout in [Layout::V2, Layout::V1] {
            assert_eq!(
                allowed(usual, layout),
                "DevicePolicy=strict DeviceAllow=[[/dev/char/10:229 rw] [char-* m] [block-* m] [/dev/char/1:3 rwm] [/dev/char/1:8 rwm] \
             [/dev/char/1:7 rwm] [/dev/char/5:0 rwm] [/dev/char/1:5 rwm] [/dev/char/1:9 rwm] \
             [char-136 rwm] [/dev/char/5:2 rwm] [/dev/char/10:200 rwm]]"
            );
            // All are allowed: systemd needn't be told.
            assert_eq!(allowed(r#"[{"allow": true, "access": "rwm"}]"#, layout), "");
        }
        // All but one, and one minor number of all: systemd has no words for either.
        for devices in [
            r#"[{"allow": true, "access": "rwm"},
                {"allow": false, "type": "b", "major": 8, "access": "w"}]"#,
            r#"[{"allow": true, "type": "c", "minor": 9, "access": "r"}]"#,
        ] {
            assert_eq!(allowed(devices, Layout::V2), "");
            assert!(allowed(devices, Layout::V1).starts_with("DevicePolicy=strict"));
        }
    }
}
