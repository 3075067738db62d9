//! The members of config.json and what each may be, after runtime-spec 1.3's JSON schema
//! (schema/config-schema.json, config-linux.json, defs.json, defs-linux.json), for Linux.
//!
//! An object's name stands at the line's beginning, its members below it: `name kind`, with `!`
//! after a name that must be there. Kinds:
//!
//! - `string`, `boolean`, `any`, or the name of an object;
//! - `MIN..MAX`: an integer, `u16`, `u32`, `i32`, `u64`, `i64`: one of that type;
//! - `=A|B`: one of these strings; `~NAME`: a string of a form ([`super::walk`] knows it);
//! - `[KIND]`: a list, `[KIND]+` one that isn't empty; `{KIND}`: an object with any names.

/// The name of the whole.
pub(super) const CONFIG: &str = "config";

const TABLE: &str = "\
config
 ociVersion! string
 root root
 process process
 hostname string
 domainname string
 mounts [mount]
 hooks hooks
 annotations {string}
 linux linux
 solaris any
 windows any
 vm any
 zos any
 freebsd any
root
 path! string
 readonly boolean
process
 args [string]
 commandLine string
 consoleSize consoleSize
 cwd! string
 env [string]
 terminal boolean
 user user
 capabilities capabilities
 apparmorProfile string
 oomScoreAdj i32
 selinuxLabel string
 ioPriority ioPriority
 noNewPrivileges boolean
 scheduler scheduler
 rlimits [rlimit]
 execCPUAffinity cpuAffinity
consoleSize
 height! u64
 width! u64
user
 uid u32
 gid u32
 umask u32
 additionalGids [u32]
 username string
capabilities
 bounding [string]
 permitted [string]
 effective [string]
 inheritable [string]
 ambient [string]
ioPriority
 class! =IOPRIO_CLASS_RT|IOPRIO_CLASS_BE|IOPRIO_CLASS_IDLE
 priority i32
scheduler
 policy! =SCHED_OTHER|SCHED_FIFO|SCHED_RR|SCHED_BATCH|SCHED_ISO|SCHED_IDLE|SCHED_DEADLINE
 nice i32
 priority i32
 flags [=SCHED_FLAG_RESET_ON_FORK|SCHED_FLAG_RECLAIM|SCHED_FLAG_DL_OVERRUN|SCHED_FLAG_KEEP_POLICY|SCHED_FLAG_KEEP_PARAMS|SCHED_FLAG_UTIL_CLAMP_MIN|SCHED_FLAG_UTIL_CLAMP_MAX]
 runtime u64
 deadline u64
 period u64
rlimit
 type! ~rlimit
 soft! u64
 hard! u64
cpuAffinity
 initial ~cpus
 final ~cpus
mount
 destination! string
 type string
 source string
 options [string]
 uidMappings [mapping]
 gidMappings [mapping]
mapping
 containerID! u32
 hostID! u32
 size! u32
hooks
 prestart [hook]
 createRuntime [hook]
 createContainer [hook]
 startContainer [hook]
 poststart [hook]
 poststop [hook]
hook
 path! string
 args [string]
 env [string]
 timeout 1..9223372036854775807
linux
 devices [device]
 netDevices {netDevice}
 uidMappings [mapping]
 gidMappings [mapping]
 namespaces [namespace]
 resources resources
 cgroupsPath string
 rootfsPropagation =|private|shared|slave|unbindable|rprivate|rshared|rslave|runbindable
 seccomp seccomp
 sysctl {string}
 maskedPaths [string]
 readonlyPaths [string]
 mountLabel string
 intelRdt intelRdt
 memoryPolicy memoryPolicy
 personality personality
 timeOffsets timeOffsets
device
 type! =c|b|u|p
 path! string
 major i64
 minor i64
 fileMode u32
 uid u32
 gid u32
netDevice
 name string
namespace
 type! =mount|pid|network|uts|ipc|user|cgroup|time
 path string
resources
 unified {string}
 devices [deviceRule]
 pids pids
 blockIO blockIO
 cpu cpu
 hugepageLimits [hugepageLimit]
 memory memory
 network network
 rdma {rdma}
deviceRule
 allow! boolean
 type string
 major i64
 minor i64
 access string
pids
 limit! i64
blockIO
 weight u16
 leafWeight u16
 weightDevice [weightDevice]
 throttleReadBpsDevice [throttleDevice]
 throttleWriteBpsDevice [throttleDevice]
 throttleReadIOPSDevice [throttleDevice]
 throttleWriteIOPSDevice [throttleDevice]
weightDevice
 major! i64
 minor! i64
 weight u16
 leafWeight u16
throttleDevice
 major! i64
 minor! i64
 rate u64
cpu
 shares u64
 quota i64
 burst u64
 period u64
 realtimeRuntime i64
 realtimePeriod u64
 cpus string
 mems string
 idle i64
hugepageLimit
 pageSize! ~pageSize
 limit! u64
memory
 limit i64
 reservation i64
 swap i64
 kernel i64
 kernelTCP i64
 swappiness u64
 disableOOMKiller boolean
 useHierarchy boolean
 checkBeforeUpdate boolean
network
 classID u32
 priorities [interfacePriority]
interfacePriority
 name! string
 priority! u32
rdma
 hcaHandles u32
 hcaObjects u32
seccomp
 defaultAction! action
 defaultErrnoRet u32
 flags [=SECCOMP_FILTER_FLAG_TSYNC|SECCOMP_FILTER_FLAG_LOG|SECCOMP_FILTER_FLAG_SPEC_ALLOW|SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV]
 listenerPath string
 listenerMetadata string
 architectures [=SCMP_ARCH_X86|SCMP_ARCH_X86_64|SCMP_ARCH_X32|SCMP_ARCH_ARM|SCMP_ARCH_AARCH64|SCMP_ARCH_LOONGARCH64|SCMP_ARCH_M68K|SCMP_ARCH_MIPS|SCMP_ARCH_MIPS64|SCMP_ARCH_MIPS64N32|SCMP_ARCH_MIPSEL|SCMP_ARCH_MIPSEL64|SCMP_ARCH_MIPSEL64N32|SCMP_ARCH_PPC|SCMP_ARCH_PPC64|SCMP_ARCH_PPC64LE|SCMP_ARCH_S390|SCMP_ARCH_S390X|SCMP_ARCH_SH|SCMP_ARCH_SHEB|SCMP_ARCH_PARISC|SCMP_ARCH_PARISC64|SCMP_ARCH_RISCV64]
 syscalls [syscall]
syscall
 names! [string]+
 action! action
 errnoRet u32
 args [syscallArgument]
syscallArgument
 index! u32
 value! u64
 valueTwo u64
 op! =SCMP_CMP_NE|SCMP_CMP_LT|SCMP_CMP_LE|SCMP_CMP_EQ|SCMP_CMP_GE|SCMP_CMP_GT|SCMP_CMP_MASKED_EQ
intelRdt
 closID string
 schemata [string]
 l3CacheSchema string
 memBwSchema ~memBwSchema
 enableMonitoring boolean
memoryPolicy
 mode =MPOL_DEFAULT|MPOL_BIND|MPOL_INTERLEAVE|MPOL_WEIGHTED_INTERLEAVE|MPOL_PREFERRED|MPOL_PREFERRED_MANY|MPOL_LOCAL
 nodes string
 flags [=MPOL_F_NUMA_BALANCING|MPOL_F_RELATIVE_NODES|MPOL_F_STATIC_NODES]
personality
 domain =LINUX|LINUX32
 flags [string]
timeOffsets
 boottime timeOffset
 monotonic timeOffset
timeOffset
 secs i64
 nanosecs u32
";

/// The kind of a seccomp action, which two objects have.
const ACTION: &str = "=SCMP_ACT_KILL|SCMP_ACT_KILL_PROCESS|SCMP_ACT_KILL_THREAD|SCMP_ACT_TRAP|\
    SCMP_ACT_ERRNO|SCMP_ACT_TRACE|SCMP_ACT_ALLOW|SCMP_ACT_LOG|SCMP_ACT_NOTIFY";

/// A line of the table.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) kind: &'static str,
}

/// The members of an object, by its name in the table.
pub(super) fn members(object: &str) -> impl Iterator<Item = Member> {
    TABLE
        .lines()
        .skip_while(move |line| *line != object)
        .skip(1)
        .map_while(|line| line.strip_prefix(' '))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| Member {
            name: name.trim_end_matches('!'),
            required: name.ends_with('!'),
            kind: if kind == "action" { ACTION } else { kind },
        })
}

/// The part of the specification that says what stands at these pointers; the first that fits.
const CLAUSES: &[(&str, &str)] = &[
    ("/ociVersion", "config.md#specification-version"),
    ("/root", "config.md#root"),
    ("/mounts", "config.md#mounts"),
    ("/process/rlimits", "config.md#posix-process"),
    ("/process/user", "config.md#user"),
    ("/process/apparmorProfile", "config.md#linux-process"),
    ("/process/capabilities", "config.md#linux-process"),
    ("/process/execCPUAffinity", "config.md#linux-process"),
    ("/process/ioPriority", "config.md#linux-process"),
    ("/process/noNewPrivileges", "config.md#linux-process"),
    ("/process/oomScoreAdj", "config.md#linux-process"),
    ("/process/scheduler", "config.md#linux-process"),
    ("/process/selinuxLabel", "config.md#linux-process"),
    ("/process", "config.md#process"),
    ("/hostname", "config.md#hostname"),
    ("/domainname", "config.md#domainname"),
    ("/hooks", "config.md#posix-platform-hooks"),
    ("/annotations", "config.md#annotations"),
    ("/linux/namespaces", "config-linux.md#namespaces"),
    (
        "/linux/uidMappings",
        "config-linux.md#user-namespace-mappings",
    ),
    (
        "/linux/gidMappings",
        "config-linux.md#user-namespace-mappings",
    ),
    (
        "/linux/timeOffsets",
        "config-linux.md#offset-for-time-namespace",
    ),
    ("/linux/devices", "config-linux.md#devices"),
    ("/linux/netDevices", "config-linux.md#network-devices"),
    ("/linux/cgroupsPath", "config-linux.md#cgroups-path"),
    (
        "/linux/resources/devices",
        "config-linux.md#allowed-device-list",
    ),
    ("/linux/resources/memory", "config-linux.md#memory"),
    ("/linux/resources/cpu", "config-linux.md#cpu"),
    ("/linux/resources/blockIO", "config-linux.md#block-io"),
    (
        "/linux/resources/hugepageLimits",
        "config-linux.md#huge-page-limits",
    ),
    ("/linux/resources/network", "config-linux.md#network"),
    ("/linux/resources/pids", "config-linux.md#pids"),
    ("/linux/resources/rdma", "config-linux.md#rdma"),
    ("/linux/resources/unified", "config-linux.md#unified"),
    ("/linux/resources", "config-linux.md#control-groups"),
    ("/linux/intelRdt", "config-linux.md#intelrdt"),
    ("/linux/memoryPolicy", "config-linux.md#memory-policy"),
    ("/linux/sysctl", "config-linux.md#sysctl"),
    ("/linux/seccomp", "config-linux.md#seccomp"),
    (
        "/linux/rootfsPropagation",
        "config-linux.md#rootfs-mount-propagation",
    ),
    ("/linux/maskedPaths", "config-linux.md#masked-paths"),
    ("/linux/readonlyPaths", "config-linux.md#readonly-paths"),
    ("/linux/mountLabel", "config-linux.md#mount-label"),
    ("/linux/personality", "config-linux.md#personality"),
    ("/linux", "config-linux.md"),
];

/// The clause for a JSON pointer, as `file#heading` of runtime-spec.
pub(super) fn clause(pointer: &str) -> &'static str {
    CLAUSES
        .iter()
        .find(|(start, _)| {
            pointer
                .strip_prefix(start)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        .map_or("config.md", |(_, clause)| clause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_table_is_known() {
        let mut objects = 0;
        for line in TABLE.lines() {
            if !line.starts_with(' ') {
                assert!(members(line).count() > 0, "{line}");
                objects += 1;
                continue;
            }
            let (_, kind) = line[1..].split_once(' ').unwrap();
            let kind = kind.trim_matches(['[', ']', '{', '}', '+']);
            let simple = [
                "string", "boolean", "any", "u16", "u32", "u64", "i32", "i64", "action",
            ];
            assert!(
                simple.contains(&kind)
                    || kind.starts_with(['=', '~'])
                    || kind.contains("..")
                    || members(kind).count() > 0,
                "{line}"
            );
        }
        assert!(objects > 30);
    }

    #[test]
    fn the_closest_clause_is_named() {
        assert_eq!(clause("/process/rlimits/0"), "config.md#posix-process");
        assert_eq!(clause("/linux/resources/cpu"), "config-linux.md#cpu");
        assert_eq!(clause("/linuxx"), "config.md");
    }
}
