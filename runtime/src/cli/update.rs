//! `windlass update`

use std::io::Read as _;
use std::path::Path;

use super::ExitCode;
use super::global::Global;
use super::go_values::size;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::schemata::update_schemata;
use crate::container::update::update;
use crate::error::{CallContext as _, Error, Result};
use crate::spec::resources::{BlockIo, Cpu, Memory, Pids, Resources};

pub(super) static VERB: Verb = Verb {
    name: "update",
    summary: "change the limits of a container",
    description: "\
What is not given stays as it is. Sizes are in bytes, or with a unit (50M); -1 is
unlimited. Times are in microseconds.

--resources takes an object like linux.resources of config.json:
  {\"memory\": {\"limit\": 67108864, \"checkBeforeUpdate\": true}, \"cpu\": {\"shares\": 200}}
All other options are then ignored. So is its \"devices\": which devices a container
may use can't be changed.",
    positionals: Positionals::CONTAINER,
    flags: &[
        &RESOURCES,
        &BLKIO_WEIGHT,
        &CPU_PERIOD,
        &CPU_QUOTA,
        &CPU_BURST,
        &CPU_SHARE,
        &CPU_RT_PERIOD,
        &CPU_RT_RUNTIME,
        &CPUSET_CPUS,
        &CPUSET_MEMS,
        &CPU_IDLE,
        &MEMORY,
        &MEMORY_RESERVATION,
        &MEMORY_SWAP,
        &PIDS_LIMIT,
        &KERNEL_MEMORY,
        &KERNEL_MEMORY_TCP,
        &L3_CACHE_SCHEMA,
        &MEM_BW_SCHEMA,
    ],
    enters_container: false,
    failure_status: 1,
    run,
};

static RESOURCES: Flag = Flag::path(
    "resources",
    "FILE",
    "a file with the new limits, - for standard input",
)
.or('r');
static BLKIO_WEIGHT: Flag = Flag::number(
    "blkio-weight",
    "WEIGHT",
    "the weight on all block devices, 10 to 1000",
);
static CPU_PERIOD: Flag = Flag::text("cpu-period", "TIME", "the period of the quota");
static CPU_QUOTA: Flag = Flag::text("cpu-quota", "TIME", "the processor time in each period");
static CPU_BURST: Flag = Flag::text(
    "cpu-burst",
    "TIME",
    "how much unused time is saved up for later periods",
);
static CPU_SHARE: Flag = Flag::text("cpu-share", "SHARES", "the share against other containers");
static CPU_RT_PERIOD: Flag = Flag::text(
    "cpu-rt-period",
    "TIME",
    "the period of the limit of real-time tasks",
);
static CPU_RT_RUNTIME: Flag = Flag::text(
    "cpu-rt-runtime",
    "TIME",
    "the time of real-time tasks in each period",
);
static CPUSET_CPUS: Flag = Flag::text("cpuset-cpus", "LIST", "the processors to run on: 0-3,7");
static CPUSET_MEMS: Flag = Flag::text("cpuset-mems", "LIST", "the memory nodes to use");
static CPU_IDLE: Flag = Flag::text(
    "cpu-idle",
    "0|1",
    "1: run only when nothing else wants to (SCHED_IDLE)",
);
static MEMORY: Flag = Flag::text("memory", "SIZE", "the limit of memory");
static MEMORY_RESERVATION: Flag =
    Flag::text("memory-reservation", "SIZE", "the soft limit of memory");
static MEMORY_SWAP: Flag = Flag::text(
    "memory-swap",
    "SIZE",
    "the limit of memory and swap together",
);
static PIDS_LIMIT: Flag = Flag::number("pids-limit", "NUMBER", "how many tasks there may be");
static KERNEL_MEMORY: Flag = Flag::text("kernel-memory", "SIZE", "ignored, with a warning");
static KERNEL_MEMORY_TCP: Flag = Flag::text(
    "kernel-memory-tcp",
    "SIZE",
    "limit of the kernel's TCP buffers (cgroup v1; else ignored)",
);
static L3_CACHE_SCHEMA: Flag = Flag::text(
    "l3-cache-schema",
    "SCHEMA",
    "the L3 cache's line of the container's resctrl group",
);
static MEM_BW_SCHEMA: Flag = Flag::text(
    "mem-bw-schema",
    "SCHEMA",
    "the memory bandwidth's line of the container's resctrl group",
);

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let container = global.container(arguments.id()?)?;
    let text;
    let change = if let Some(path) = arguments.path(&RESOURCES) {
        text = read(path)?;
        serde_json::from_str(&text)
            .map_err(|error| Error::new(error.to_string()).context(path.display().to_string()))?
    } else {
        from_options(arguments)?
    };
    let (cache, bandwidth) = (
        arguments.text(&L3_CACHE_SCHEMA),
        arguments.text(&MEM_BW_SCHEMA),
    );
    if cache.is_some() || bandwidth.is_some() {
        update_schemata(&container, cache, bandwidth)?;
    }
    update(&container, &change, log)?;
    Ok(ExitCode::SUCCESS)
}

/// More than anyone writes; a bound on what a caller can make us hold in memory.
const LARGEST: u64 = 64 << 20;

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin()
            .take(LARGEST)
            .read_to_string(&mut text)
            .call(|| "read standard input")?;
    } else {
        text = std::fs::read_to_string(path).call(|| format!("open {}", path.display()))?;
    }
    Ok(text)
}

fn from_options<'a>(arguments: &Arguments<'a>) -> Result<Resources<'a>> {
    let weight = arguments
        .number(&BLKIO_WEIGHT)
        .map(|weight| u16::try_from(weight).map_err(|_| invalid(&BLKIO_WEIGHT, "out of range")));
    let bytes = |flag| -> Result<Option<i64>> {
        let value: Option<&str> = arguments.text(flag);
        let bytes = value.map(|text| if text == "-1" { Ok(-1) } else { size(text) });
        bytes.transpose().map_err(|problem| invalid(flag, &problem))
    };
    Ok(Resources {
        memory: Some(Memory {
            limit: bytes(&MEMORY)?,
            swap: bytes(&MEMORY_SWAP)?,
            reservation: bytes(&MEMORY_RESERVATION)?,
            kernel: bytes(&KERNEL_MEMORY)?,
            kernel_tcp: bytes(&KERNEL_MEMORY_TCP)?,
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: number(arguments, &CPU_SHARE)?,
            quota: number(arguments, &CPU_QUOTA)?,
            burst: number(arguments, &CPU_BURST)?,
            period: number(arguments, &CPU_PERIOD)?,
            realtime_runtime: number(arguments, &CPU_RT_RUNTIME)?,
            realtime_period: number(arguments, &CPU_RT_PERIOD)?,
            cpus: arguments.text(&CPUSET_CPUS).unwrap_or_default().into(),
            mems: arguments.text(&CPUSET_MEMS).unwrap_or_default().into(),
            idle: number(arguments, &CPU_IDLE)?,
        }),
        pids: Some(Pids {
            limit: arguments.number(&PIDS_LIMIT),
        }),
        block_io: Some(BlockIo {
            weight: weight.transpose()?,
            ..BlockIo::default()
        }),
        ..Resources::default()
    })
}

fn number<N: std::str::FromStr>(
    arguments: &Arguments<'_>,
    flag: &'static Flag,
) -> Result<Option<N>> {
    let number = arguments.text(flag).map(str::parse);
    number
        .transpose()
        .map_err(|_| invalid(flag, "not a number, or out of range"))
}

fn invalid(flag: &Flag, problem: &str) -> Error {
    Error::new(format!("invalid value for {}: {problem}", flag.name))
}
