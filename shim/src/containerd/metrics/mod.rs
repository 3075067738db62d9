//! What a container uses, read from the files of its cgroups into containerd's messages, field by
//! field as `github.com/containerd/cgroups` fills them: what `ctr task metrics`, the CRI's statistics
//! and `docker stats` show.

mod v1;
mod v2;

use std::fs;
use std::path::Path;

use super::messages::pack;
use super::messages::rdma::{RdmaEntry, RdmaStat};
use super::messages::well_known::Any;
use crate::cgroup::Cgroups;

/// The answer to `Stats` for a container in `cgroups`. A controller that isn't used there has no
/// numbers; what a file doesn't say is 0.
pub fn read(cgroups: &Cgroups) -> Any {
    match cgroups {
        Cgroups::Unified(directory) => pack(&v2::read(directory)),
        Cgroups::Separate(_) => pack(&v1::read(cgroups)),
    }
}

/// What the rdma controller says of the devices of the cgroup at `directory`.
fn rdma(directory: &Path) -> RdmaStat {
    RdmaStat {
        current: rdma_entries(directory, "rdma.current"),
        limit: rdma_entries(directory, "rdma.max"),
    }
}

/// The lines `DEVICE hca_handle=N hca_object=N` of a file of the rdma controller; `max` is the
/// greatest number that the message holds.
fn rdma_entries(directory: &Path, name: &str) -> Vec<RdmaEntry> {
    let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let mut read = RdmaEntry {
            device: words.next()?.to_owned(),
            ..RdmaEntry::default()
        };
        for (key, number) in words.filter_map(|word| word.split_once('=')) {
            let number = match number {
                "max" => u32::MAX,
                number => number.parse().unwrap_or(0),
            };
            match key {
                "hca_handle" => read.hca_handles = number,
                "hca_object" => read.hca_objects = number,
                _ => {}
            }
        }
        Some(read)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cgroup::Membership;
    use crate::containerd::messages::{cgroups_v1, cgroups_v2, unpack};

    /// A directory with the given files, for formats that this machine's kernel doesn't show.
    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    fn on_v1(controller: &str, directory: &Path) -> cgroups_v1::Metrics {
        let cgroups = Cgroups::Separate(vec![Membership {
            controllers: vec![controller.to_owned()],
            directory: directory.to_owned(),
        }]);
        let any = read(&cgroups);
        assert_eq!(any.type_url, "io.containerd.cgroups.v1.Metrics");
        unpack(&any).unwrap().unwrap()
    }

    fn on_v2(directory: &Path) -> cgroups_v2::Metrics {
        let any = read(&Cgroups::Unified(directory.to_owned()));
        assert_eq!(any.type_url, "io.containerd.cgroups.v2.Metrics");
        unpack(&any).unwrap().unwrap()
    }

    #[test]
    fn the_files_of_v2_become_its_message() {
        let files = directory(&[
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            (
                "cpu.stat",
                "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_bursts 2\n",
            ),
            (
                "cpu.pressure",
                "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=2.00 total=5\n",
            ),
            (
                "memory.stat",
                "anon 4096\nfile_mapped 17\nworkingset_refault_anon 9\n",
            ),
            ("memory.current", "8192\n"),
            ("memory.max", "1048576\n"),
            ("memory.swap.max", "max\n"),
            ("memory.peak", "9000\n"),
            (
                "memory.events",
                "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 5\n",
            ),
            (
                "io.stat",
                "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n\n253:1 rbytes=7 wbytes=8 rios=9 wios=10\n",
            ),
            ("rdma.current", "mlx4_0 hca_handle=2 hca_object=2000\n"),
            ("rdma.max", "mlx4_0 hca_handle=3 hca_object=max\n"),
        ]);
        let metrics = on_v2(files.path());
        let pids = metrics.pids.unwrap();
        assert_eq!((pids.current, pids.limit), (3, u64::MAX));
        let cpu = metrics.cpu.unwrap();
        assert_eq!(
            (cpu.usage_usec, cpu.user_usec, cpu.system_usec),
            (30, 20, 10)
        );
        assert_eq!(cpu.nr_bursts, 2);
        let pressure = cpu.psi.unwrap();
        let stalled = |avg10, avg60, avg300, total| {
            Some(cgroups_v2::PsiData {
                avg10,
                avg60,
                avg300,
                total,
            })
        };
        assert_eq!(pressure.some, stalled(1.5, 0.25, 0.0, 77));
        assert_eq!(pressure.full, stalled(0.0, 0.0, 2.0, 5));
        let memory = metrics.memory.unwrap();
        assert_eq!((memory.anon, memory.file_mapped), (4096, 17));
        assert_eq!(memory.workingset_refault_anon, 9);
        assert_eq!((memory.usage, memory.usage_limit), (8192, 1 << 20));
        assert_eq!((memory.swap_limit, memory.max_usage), (u64::MAX, 9000));
        assert_eq!(memory.psi, None);
        let events = metrics.memory_events.unwrap();
        assert_eq!(
            (events.oom, events.oom_kill, events.oom_group_kill),
            (3, 4, 5)
        );
        let io = metrics.io.unwrap();
        let numbers: Vec<_> = (io.usage.iter())
            .map(|e| (e.major, e.minor, e.rbytes, e.wbytes, e.rios, e.wios))
            .collect();
        assert_eq!(numbers, [(8, 0, 1, 2, 3, 4), (253, 1, 7, 8, 9, 10)]);
        let rdma = metrics.rdma.unwrap();
        assert_eq!(rdma.current[0].hca_objects, 2000);
        assert_eq!(
            (rdma.limit[0].hca_handles, rdma.limit[0].hca_objects),
            (3, u32::MAX)
        );
    }

    #[test]
    fn v2_without_controllers_has_no_events_of_memory() {
        let metrics = on_v2(directory(&[]).path());
        assert_eq!(metrics.memory_events, None);
        assert_eq!(metrics.memory, Some(cgroups_v2::MemoryStat::default()));
    }

    #[test]
    fn the_files_of_v1_become_its_message() {
        let files = directory(&[
            (
                "memory.stat",
                "cache 1\nrss 2\npgpgin 3\ntotal_pgmajfault 4\nhierarchical_memsw_limit 5\n",
            ),
            (
                "memory.oom_control",
                "oom_kill_disable 1\nunder_oom 0\noom_kill 6\n",
            ),
            ("memory.usage_in_bytes", "7\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.failcnt", "8\n"),
            ("memory.kmem.tcp.max_usage_in_bytes", "9\n"),
        ]);
        let metrics = on_v1("memory", files.path());
        let memory = metrics.memory.unwrap();
        assert_eq!((memory.cache, memory.rss, memory.pg_pg_in), (1, 2, 3));
        assert_eq!(
            (memory.total_pg_maj_fault, memory.hierarchical_swap_limit),
            (4, 5)
        );
        let usage = memory.usage.unwrap();
        assert_eq!(
            (usage.usage, usage.failcnt, usage.limit),
            (7, 8, 0x7fff_ffff_ffff_f000)
        );
        assert_eq!(memory.swap, Some(cgroups_v1::MemoryEntry::default()));
        assert_eq!(memory.kernel_tcp.unwrap().max, 9);
        let oom = metrics.memory_oom_control.unwrap();
        assert_eq!((oom.oom_kill_disable, oom.oom_kill), (1, 6));
        assert_eq!(metrics.pids, None);
    }

    #[test]
    fn block_devices_of_v1_come_from_the_scheduler_or_else_the_throttle() {
        let both = directory(&[
            (
                "blkio.io_serviced_recursive",
                "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
            ),
            ("blkio.sectors_recursive", "8:0 44\n"),
            ("blkio.throttle.io_serviced", "8:0 Read 9\nTotal 9\n"),
        ]);
        let stat = on_v1("blkio", both.path()).blkio.unwrap();
        let numbers: Vec<_> = (stat.io_serviced_recursive.iter())
            .map(|e| (e.op.as_str(), e.value))
            .collect();
        assert_eq!(numbers, [("Read", 1), ("Write", 2), ("Total", 3)]);
        assert_eq!(stat.sectors_recursive[0].op, "");
        assert_eq!(stat.sectors_recursive[0].value, 44);

        let idle = directory(&[
            ("blkio.io_serviced_recursive", "Total 0\n"),
            (
                "blkio.throttle.io_service_bytes",
                "8:16 Read 4096\nTotal 4096\n",
            ),
        ]);
        let stat = on_v1("blkio", idle.path()).blkio.unwrap();
        let entry = &stat.io_service_bytes_recursive[0];
        assert_eq!((entry.major, entry.minor, entry.value), (8, 16, 4096));
    }

    /// What the kernel really says, of the cgroups that the tests run in.
    #[test]
    fn a_real_cgroup_has_numbers() {
        let own = i32::try_from(std::process::id()).unwrap();
        let cgroups = Cgroups::of(own).unwrap();
        let any = read(&cgroups);
        match &cgroups {
            Cgroups::Unified(_) => {
                let metrics: cgroups_v2::Metrics = unpack(&any).unwrap().unwrap();
                assert!(metrics.cpu.unwrap().usage_usec > 0);
            }
            Cgroups::Separate(_) => {
                let metrics: cgroups_v1::Metrics = unpack(&any).unwrap().unwrap();
                let usage = metrics.cpu.unwrap().usage.unwrap();
                assert!(usage.total > 0 && usage.kernel > 0 && usage.user > 0);
                let sum: u64 = usage.per_cpu.iter().sum();
                // The kernel brings neither up to date for the other, so they differ by some microseconds.
                assert!(sum > usage.total / 2, "{sum} of {}", usage.total);
                assert!(metrics.memory.unwrap().usage.unwrap().usage > 0);
                assert!(metrics.blkio.is_some());
            }
        }
    }

    #[test]
    fn a_device_is_named_as_in_dev() {
        let devices =
            v1::devices("major minor  #blocks  name\n\n 259        0  1 nvme0n1\n   8 1 2 sda1\n");
        assert_eq!(devices[&(259, 0)], "/dev/nvme0n1");
        assert_eq!(devices[&(8, 1)], "/dev/sda1");
    }

    #[test]
    fn a_cgroup_that_is_gone_has_empty_numbers() {
        let gone = Cgroups::Unified(PathBuf::from("/sys/fs/cgroup/none/such"));
        let metrics: cgroups_v2::Metrics = unpack(&read(&gone)).unwrap().unwrap();
        assert_eq!(metrics.pids.unwrap().current, 0);
    }
}
