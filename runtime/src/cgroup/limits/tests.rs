use super::*;
use crate::cgroup::{Hierarchy, Version};

fn host(layout: Layout, controllers: &[&str]) -> Hierarchies {
    let version = if layout == Layout::V2 {
        Version::V2
    } else {
        Version::V1
    };
    let hierarchy = Hierarchy {
        version,
        name: String::new(),
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: "/sys/fs/cgroup".into(),
        own: "/".into(),
    };
    Hierarchies {
        layout,
        list: vec![hierarchy],
    }
}

fn v1() -> Hierarchies {
    let all = [
        "cpu", "cpuset", "memory", "blkio", "pids", "hugetlb", "net_cls", "net_prio", "rdma",
    ];
    host(Layout::Hybrid, &all)
}

fn v2() -> Hierarchies {
    host(
        Layout::V2,
        &["cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"],
    )
}

/// The plan as lines `FILE=VALUE`, with `?` behind what may be absent and `|FILE=VALUE` for the
/// other choice.
fn plan(host: &Hierarchies, resources: &str) -> Vec<String> {
    let resources = serde_json::from_str(resources).unwrap();
    let line = |write: &Write<'_>| {
        let absent = match &write.absent {
            Absent::Refuse => String::new(),
            Absent::Ignore => "?".into(),
            Absent::Instead { file, value } => format!("|{file}={value}"),
        };
        format!("{}={}{absent}", write.file, write.value)
    };
    writes(&resources, host).unwrap().iter().map(line).collect()
}

fn refusal(host: &Hierarchies, resources: &str) -> String {
    writes(&serde_json::from_str(resources).unwrap(), host)
        .unwrap_err()
        .to_string()
}

#[test]
fn zero_means_unset() {
    let docker = r#"{"blockIO": {"weight": 0}, "cpu": {"shares": 0, "period": 0, "quota": 0,
        "realtimePeriod": 0, "realtimeRuntime": 0, "cpus": ""},
        "memory": {"limit": 0, "swap": 0, "reservation": 0, "disableOOMKiller": false,
            "swappiness": 18446744073709551615},
        "network": {"classID": 0}, "pids": {}}"#;
    assert!(plan(&v1(), docker).is_empty());
    assert!(plan(&v2(), docker).is_empty());
}

#[test]
fn v1_writes_in_the_order_that_the_kernel_wants() {
    let resources = r#"{
        "memory": {"limit": 100, "swap": 200, "reservation": 50, "swappiness": 0,
            "kernelTCP": 70, "disableOOMKiller": true},
        "cpu": {"shares": 2, "quota": -1, "period": 5000, "burst": 0, "cpus": "0-1", "mems": "0",
            "realtimeRuntime": 1, "realtimePeriod": 2, "idle": 1},
        "pids": {"limit": -1}}"#;
    assert_eq!(
        plan(&v1(), resources),
        [
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "memory.limit_in_bytes=100",
            "memory.memsw.limit_in_bytes=200",
            "memory.soft_limit_in_bytes=50",
            "memory.kmem.tcp.limit_in_bytes=70",
            "memory.oom_control=1",
            "memory.swappiness=0",
            "cpu.shares=2",
            "cpu.cfs_period_us=5000",
            "cpu.cfs_quota_us=-1",
            "cpu.cfs_burst_us=0",
            "cpu.idle=1",
            "cpu.rt_period_us=2",
            "cpu.rt_runtime_us=1",
            "pids.max=max",
        ]
    );
    assert_eq!(
        plan(&v1(), r#"{"memory": {"limit": -1}}"#),
        [
            "memory.limit_in_bytes=-1",
            "memory.memsw.limit_in_bytes=-1?"
        ]
    );
}

#[test]
fn v1_block_io_network_and_the_rest() {
    let resources = r#"{
        "blockIO": {"weight": 10, "leafWeight": 300,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 301}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
        "network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 5}]},
        "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 4}, "rxe3": {"hcaObjects": 5}}}"#;
    assert_eq!(
        plan(&v1(), resources),
        [
            "blkio.bfq.weight=10|blkio.weight=10",
            "blkio.leaf_weight=300",
            "blkio.bfq.weight_device=8:0 500|blkio.weight_device=8:0 500",
            "blkio.leaf_weight_device=8:0 301",
            "blkio.throttle.read_bps_device=8:0 600",
            "blkio.throttle.write_iops_device=8:16 0",
            "hugetlb.2MB.limit_in_bytes=0",
            "hugetlb.2MB.rsvd.limit_in_bytes=0?",
            "net_cls.classid=7",
            "net_prio.ifpriomap=eth0 5",
            "rdma.max=mlx5_1 hca_handle=3 hca_object=4",
            "rdma.max=rxe3 hca_object=5",
        ]
    );
}

#[test]
fn v2_converts_as_runc_does() {
    let resources = r#"{
        "memory": {"limit": 100, "swap": 300, "reservation": 50},
        "cpu": {"shares": 1024, "quota": 20000, "burst": 5, "cpus": "0", "idle": 0},
        "pids": {"limit": 0},
        "blockIO": {"weight": 1000, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]},
        "hugepageLimits": [{"pageSize": "1GB", "limit": 9}],
        "unified": {"memory.high": "7", "io.max": "8:0 rbps=1\n8:16 wbps=2\n", "cgroup.type": "x"}
    }"#;
    assert_eq!(
        plan(&v2(), resources),
        [
            "pids.max=1",
            "memory.swap.max=200",
            "memory.max=100",
            "memory.low=50",
            "io.bfq.weight=1000|io.weight=10000",
            "io.bfq.weight=8:0 10|io.weight=8:0 1",
            "io.max=8:0 rbps=600",
            "io.max=8:16 wiops=max",
            "cpu.idle=0",
            "cpu.weight=100",
            "cpu.max=20000 100000",
            "cpu.max.burst=5",
            "cpuset.cpus=0",
            "hugetlb.1GB.max=9",
            "hugetlb.1GB.rsvd.max=9?",
            "cgroup.type=x",
            "io.max=8:0 rbps=1",
            "io.max=8:16 wbps=2",
            "memory.high=7",
        ]
    );
    assert_eq!(plan(&v2(), r#"{"cpu": {"period": 5}}"#), ["cpu.max=max 5"]);
    assert_eq!(
        plan(&v2(), r#"{"cpu": {"quota": -1}}"#),
        ["cpu.max=max 100000"]
    );
}

#[test]
fn v2_swap_is_swap_alone() {
    for (memory, expected) in [
        (
            r#"{"limit": 5, "swap": 5}"#,
            &["memory.swap.max=0?", "memory.max=5"] as &[_],
        ),
        (
            r#"{"limit": -1}"#,
            &["memory.swap.max=max?", "memory.max=max"],
        ),
        (
            r#"{"limit": 5, "swap": -1}"#,
            &["memory.swap.max=max?", "memory.max=5"],
        ),
        (
            r#"{"limit": -1, "swap": 5}"#,
            &["memory.swap.max=5", "memory.max=max"],
        ),
        (r#"{"limit": 5}"#, &["memory.max=5"]),
    ] {
        assert_eq!(
            plan(&v2(), &format!(r#"{{"memory": {memory}}}"#)),
            expected,
            "{memory}"
        );
    }
    for (memory, expected) in [
        (
            r#"{"swap": 5}"#,
            "unable to set swap limit without memory limit",
        ),
        (
            r#"{"limit": 6, "swap": 5}"#,
            "memory+swap limit should be >= memory limit",
        ),
        (r#"{"limit": -7, "swap": 5}"#, "invalid memory value: -7"),
    ] {
        let refusal = refusal(&v2(), &format!(r#"{{"memory": {memory}}}"#));
        assert_eq!(
            refusal,
            format!("{expected} (config.json /linux/resources/memory/swap)")
        );
    }
}

#[test]
fn shares_follow_the_curve_through_minimum_default_and_maximum() {
    for (shares, weight) in [
        (1, 1),
        (2, 1),
        (1024, 100),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ] {
        let resources = format!(r#"{{"cpu": {{"shares": {shares}}}}}"#);
        assert_eq!(plan(&v2(), &resources), [format!("cpu.weight={weight}")]);
    }
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (host, resources, field) in [
        (v1(), r#"{"unified": {"memory.min": "1"}}"#, "/unified"),
        (v1(), r#"{"cpu": {"shares": 1}}"#, "/cpu/shares"),
        (v1(), r#"{"cpu": {"shares": 262145}}"#, "/cpu/shares"),
        (
            v1(),
            r#"{"memory": {"swappiness": 101}}"#,
            "/memory/swappiness",
        ),
        (
            v1(),
            r#"{"hugepageLimits": [{"pageSize": "../x2MB", "limit": 1}]}"#,
            "/0/pageSize",
        ),
        (v1(), r#"{"rdma": {"a/b": {}}}"#, "/rdma/a~1b"),
        (
            host(Layout::V1, &["memory"]),
            r#"{"pids": {"limit": 1}}"#,
            "/pids/limit",
        ),
        (
            host(Layout::V2, &["memory"]),
            r#"{"blockIO": {"weight": 10}}"#,
            "/blockIO/weight",
        ),
        (
            host(Layout::V2, &["memory"]),
            r#"{"unified": {"pids.max": "1"}}"#,
            "/unified/pids.max",
        ),
        (v2(), r#"{"unified": {"../x.y": "1"}}"#, "/unified/..~1x.y"),
        (v2(), r#"{"unified": {"x": "1"}}"#, "/unified/x"),
        (
            v2(),
            r#"{"memory": {"swappiness": 0}}"#,
            "/memory/swappiness",
        ),
        (
            v2(),
            r#"{"memory": {"disableOOMKiller": true}}"#,
            "/memory/disableOOMKiller",
        ),
        (
            v2(),
            r#"{"cpu": {"realtimeRuntime": 1}}"#,
            "/cpu/realtimeRuntime",
        ),
        (
            v2(),
            r#"{"cpu": {"realtimePeriod": 1}}"#,
            "/cpu/realtimePeriod",
        ),
        (
            v2(),
            r#"{"blockIO": {"leafWeight": 10}}"#,
            "/blockIO/leafWeight",
        ),
        (v2(), r#"{"blockIO": {"weight": 1001}}"#, "/blockIO"),
        (v2(), r#"{"network": {"classID": 1}}"#, "/network/classID"),
        (
            v2(),
            r#"{"network": {"priorities": [{"name": "a", "priority": 1}]}}"#,
            "/priorities",
        ),
    ] {
        let refusal = refusal(&host, resources);
        assert!(
            refusal.contains(&format!("{field})")) || refusal.contains(&format!("{field};")),
            "{resources}: {refusal}"
        );
    }
    assert!(
        refusal(&v1(), r#"{"unified": {"memory.min": "1"}}"#).starts_with("invalid configuration")
    );
}

#[test]
fn what_is_ignored_is_said() {
    let resources = serde_json::from_str(
        r#"{"memory": {"kernel": 1, "kernelTCP": 1, "useHierarchy": false, "limit": 5}}"#,
    )
    .unwrap();
    let fields = |layout| -> Vec<_> {
        ignored(&resources, layout)
            .iter()
            .map(|ignored| ignored.pointer)
            .collect()
    };
    assert_eq!(
        fields(Layout::V2),
        [
            "/linux/resources/memory/kernel",
            "/linux/resources/memory/kernelTCP",
            "/linux/resources/memory/useHierarchy"
        ]
    );
    assert_eq!(
        fields(Layout::V1),
        [
            "/linux/resources/memory/kernel",
            "/linux/resources/memory/useHierarchy"
        ]
    );
    assert!(ignored(&Resources::default(), Layout::V2).is_empty());
}
