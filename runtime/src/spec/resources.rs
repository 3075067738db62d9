//! `linux.resources` (config-linux.md, "Control groups").
//!
//! Engines write Go's zero values for what they leave alone (`"shares": 0`, `"weight": 0`). What
//! zero means is decided where the value is used, [`crate::cgroup::writes`], as runc decides it.
//! Keys are read as Go reads them ([`super::go_json`]).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::go_json::object;

/// `linux.resources`: the limits on what a container may use.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources<'a> {
    /// Which devices may be used, in the order in which the entries apply ("Allowed Device list").
    pub devices: Vec<DeviceRule<'a>>,
    /// "Memory".
    pub memory: Option<Memory>,
    /// "CPU".
    pub cpu: Option<Cpu<'a>>,
    /// "PIDs".
    pub pids: Option<Pids>,
    /// "Block IO".
    #[serde(rename = "blockIO")]
    pub block_io: Option<BlockIo>,
    /// "Huge page limits".
    pub hugepage_limits: Vec<HugepageLimit<'a>>,
    /// "Network".
    pub network: Option<Network<'a>>,
    /// "RDMA": limits by the name of the device.
    pub rdma: BTreeMap<Cow<'a, str>, Rdma>,
    /// "Unified": values by the name of a file of cgroup v2.
    pub unified: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

object!(Resources<'a>, requires [], {
    "devices" => list(devices),
    "memory" => object_or_none(memory),
    "cpu" => object_or_none(cpu),
    "pids" => object_or_none(pids),
    "blockIO" => object_or_none(block_io),
    "hugepageLimits" => list(hugepage_limits),
    "network" => object_or_none(network),
    "rdma" => list(rdma),
    "unified" => list(unified),
});

/// An entry of `devices`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeviceRule<'a> {
    /// Whether what matches is allowed or denied.
    pub allow: bool,
    /// `a` (all, also when empty), `c` (character) or `b` (block).
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    /// The major number; unset means all.
    pub major: Option<i64>,
    /// The minor number; unset means all.
    pub minor: Option<i64>,
    /// A composition of `r` (read), `w` (write) and `m` (mknod).
    pub access: Cow<'a, str>,
}

object!(DeviceRule<'a>, requires [], {
    "allow" => value(allow),
    "type" => text(kind),
    "major" => value(major),
    "minor" => value(minor),
    "access" => text(access),
});

/// `memory`: limits are in bytes, -1 is unlimited.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The limit of memory usage.
    pub limit: Option<i64>,
    /// The soft limit of memory usage.
    pub reservation: Option<i64>,
    /// The limit of memory and swap together.
    pub swap: Option<i64>,
    /// The limit of kernel memory (not recommended by the spec; gone from Linux 5.4 on).
    pub kernel: Option<i64>,
    /// The limit of kernel memory for TCP buffers (not recommended by the spec).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    /// How willingly the kernel swaps, 0 to 100.
    pub swappiness: Option<u64>,
    /// Lets what exceeds the limit wait instead of being killed.
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
    /// Whether sub-cgroups count against this cgroup's limits.
    pub use_hierarchy: Option<bool>,
    /// Refuses a limit below the current usage, where the kernel would rather kill (cgroup v2).
    pub check_before_update: Option<bool>,
}

object!(Memory, requires [], {
    "limit" => value(limit),
    "reservation" => value(reservation),
    "swap" => value(swap),
    "kernel" => value(kernel),
    "kernelTCP" => value(kernel_tcp),
    "swappiness" => value(swappiness),
    "disableOOMKiller" => value(disable_oom_killer),
    "useHierarchy" => value(use_hierarchy),
    "checkBeforeUpdate" => value(check_before_update),
});

/// `cpu`: times are in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu<'a> {
    /// The relative share, 2 to 262144; 1024 is the kernel's default.
    pub shares: Option<u64>,
    /// The processor time in each period; negative is unlimited.
    pub quota: Option<i64>,
    /// The unused time that may be saved up for later periods.
    pub burst: Option<u64>,
    /// The length of a period.
    pub period: Option<u64>,
    /// The time in each real-time period for real-time tasks.
    pub realtime_runtime: Option<i64>,
    /// The length of a real-time period.
    pub realtime_period: Option<u64>,
    /// The processors to run on, such as `0-3,7`.
    pub cpus: Cow<'a, str>,
    /// The memory nodes to run on.
    pub mems: Cow<'a, str>,
    /// 1 runs only when nothing else wants to (`SCHED_IDLE`), 0 is the default.
    pub idle: Option<i64>,
}

object!(Cpu<'a>, requires [], {
    "shares" => value(shares),
    "quota" => value(quota),
    "burst" => value(burst),
    "period" => value(period),
    "realtimeRuntime" => value(realtime_runtime),
    "realtimePeriod" => value(realtime_period),
    "cpus" => text(cpus),
    "mems" => text(mems),
    "idle" => value(idle),
});

/// `pids`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pids {
    /// The greatest number of tasks; -1 is unlimited.
    pub limit: Option<i64>,
}

object!(Pids, requires [], {
    "limit" => value(limit),
});

/// `blockIO`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    /// The weight on all devices, 10 to 1000.
    pub weight: Option<u16>,
    /// The weight of this cgroup's tasks against its sub-cgroups (CFQ, gone from Linux 5.0 on).
    pub leaf_weight: Option<u16>,
    /// Weights for single devices.
    pub weight_device: Vec<WeightDevice>,
    /// Limits of reading, in bytes a second.
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    /// Limits of writing, in bytes a second.
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    /// Limits of reading, in operations a second.
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    /// Limits of writing, in operations a second.
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

object!(BlockIo, requires [], {
    "weight" => value(weight),
    "leafWeight" => value(leaf_weight),
    "weightDevice" => list(weight_device),
    "throttleReadBpsDevice" => list(throttle_read_bps_device),
    "throttleWriteBpsDevice" => list(throttle_write_bps_device),
    "throttleReadIOPSDevice" => list(throttle_read_iops_device),
    "throttleWriteIOPSDevice" => list(throttle_write_iops_device),
});

/// An entry of `blockIO.weightDevice`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    /// The device's major number.
    pub major: i64,
    /// The device's minor number.
    pub minor: i64,
    /// The weight on this device, 10 to 1000.
    pub weight: Option<u16>,
    /// As [`BlockIo::leaf_weight`], on this device.
    pub leaf_weight: Option<u16>,
}

object!(WeightDevice, requires ["major", "minor"], {
    "major" => value(major),
    "minor" => value(minor),
    "weight" => value(weight),
    "leafWeight" => value(leaf_weight),
});

/// An entry of one of the four lists of throttled devices.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ThrottleDevice {
    /// The device's major number.
    pub major: i64,
    /// The device's minor number.
    pub minor: i64,
    /// The limit in bytes or operations a second; 0 is unlimited.
    pub rate: u64,
}

object!(ThrottleDevice, requires ["major", "minor", "rate"], {
    "major" => value(major),
    "minor" => value(minor),
    "rate" => value(rate),
});

/// An entry of `hugepageLimits`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit<'a> {
    /// The size of the pages in the kernel's spelling: `64KB`, `2MB`, `1GB`.
    pub page_size: Cow<'a, str>,
    /// The limit in bytes.
    pub limit: u64,
}

object!(HugepageLimit<'a>, requires ["pageSize", "limit"], {
    "pageSize" => text(page_size),
    "limit" => value(limit),
});

/// `network`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Network<'a> {
    /// What the container's packets are tagged with.
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    /// Priorities of the container's packets by interface.
    pub priorities: Vec<InterfacePriority<'a>>,
}

object!(Network<'a>, requires [], {
    "classID" => value(class_id),
    "priorities" => list(priorities),
});

/// An entry of `network.priorities`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InterfacePriority<'a> {
    /// The interface's name in the runtime's network namespace.
    pub name: Cow<'a, str>,
    /// The priority of what leaves by it.
    pub priority: u32,
}

object!(InterfacePriority<'a>, requires ["name", "priority"], {
    "name" => text(name),
    "priority" => value(priority),
});

/// An entry of `rdma`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rdma {
    /// The greatest number of handles.
    pub hca_handles: Option<u32>,
    /// The greatest number of objects.
    pub hca_objects: Option<u32>,
}

object!(Rdma, requires [], {
    "hcaHandles" => value(hca_handles),
    "hcaObjects" => value(hca_objects),
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_spec_is_read() {
        let resources: Resources = serde_json::from_str(
            r#"{
            "devices": [{"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
            "memory": {"limit": 1, "reservation": 2, "swap": 3, "kernel": -1, "kernelTCP": -1,
                "swappiness": 0, "disableOOMKiller": true, "useHierarchy": true,
                "checkBeforeUpdate": true},
            "cpu": {"shares": 1024, "quota": 1000000, "burst": 1000000, "period": 500000,
                "realtimeRuntime": 950000, "realtimePeriod": 1000000, "cpus": "2-3",
                "mems": "0-7", "idle": 0},
            "pids": {"limit": 32771},
            "blockIO": {"weight": 10, "leafWeight": 11,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 601}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 602}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 300}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}],
            "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "unified": {"io.max": "259:0 rbps=2097152 wiops=120\n253:0 rbps=2097152 wiops=120"},
            "x-unknown": 1
        }"#,
        )
        .unwrap();
        assert!(matches!(&resources.devices[0].access, Cow::Borrowed("rw")));
        assert_eq!(resources.devices[0].minor, Some(229));
        let memory = resources.memory.unwrap();
        assert_eq!(
            (memory.kernel_tcp, memory.disable_oom_killer),
            (Some(-1), Some(true))
        );
        assert_eq!(memory.check_before_update, Some(true));
        let cpu = resources.cpu.unwrap();
        assert!(matches!(cpu.cpus, Cow::Borrowed("2-3")));
        assert_eq!((cpu.burst, cpu.idle), (Some(1_000_000), Some(0)));
        let block_io = resources.block_io.unwrap();
        assert_eq!(block_io.leaf_weight, Some(11));
        assert_eq!(block_io.weight_device[0].leaf_weight, Some(300));
        assert_eq!(block_io.throttle_write_bps_device[0].rate, 601);
        assert_eq!(block_io.throttle_read_iops_device[0].rate, 602);
        assert_eq!(block_io.throttle_write_iops_device[0].minor, 16);
        assert_eq!(resources.hugepage_limits[0].page_size, "2MB");
        let network = resources.network.unwrap();
        assert_eq!(network.class_id, Some(1_048_577));
        assert_eq!(network.priorities[0].priority, 500);
        assert_eq!(resources.rdma["mlx5_1"].hca_objects, Some(10_000));
        assert_eq!(resources.unified.len(), 1);
    }

    #[test]
    fn what_go_leaves_null_is_empty() {
        let resources: Resources = serde_json::from_str(
            r#"{"devices": null, "memory": null, "blockIO": {"weightDevice": null}, "rdma": null,
                "unified": null, "hugepageLimits": null}"#,
        )
        .unwrap();
        assert!(resources.devices.is_empty() && resources.memory.is_none());
        assert!(resources.block_io.unwrap().weight_device.is_empty());
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        for bad in [
            r#"{"pids": {"limit": "max"}}"#,
            r#"{"blockIO": {"weight": 70000}}"#,
        ] {
            assert!(serde_json::from_str::<Resources>(bad).is_err(), "{bad}");
        }
    }
}
