//! Looking around: fills in an [`Observation`] and answers questions.
//!
//! A question is `VERB:ARGUMENT`: `stat:PATH` (the link itself), `follow:PATH` (what it leads to),
//! `read:PATH`, `link:PATH`, `list:DIRECTORY`, `write:PATH=TEXT` (an existing file), `create:PATH`,
//! `mkdir:PATH`, `open:PATH` (for reading), `openw:PATH` (for writing), `execute:PATH` (with no
//! arguments), `call:NAME[:NUMBER]...` (a system call; the numbers in decimal).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::process::Command;

use rustix::process::Resource;

use super::observation::{Answer, FileStatus, Mount, Observation, Terminal};
use crate::sys;

/// The kernel's capabilities in the order of their numbers (linux/capability.h).
pub const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The resources of getrlimit(2) under the names that config.json uses.
const RESOURCES: &[(&str, Resource)] = &[
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

/// Descriptors above this one are not looked for.
const HIGHEST_DESCRIPTOR: i32 = 1023;

/// Looks around and answers the questions.
pub fn see(questions: &[&str]) -> Observation {
    // First, before anything here opens a file.
    let descriptors = descriptors();
    let terminals = terminals();
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(umask);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let fields = super::status_fields(&status);
    let name = rustix::system::uname();
    let mut groups: Vec<u32> = rustix::process::getgroups()
        .map(|groups| {
            groups
                .into_iter()
                .map(rustix::process::Gid::as_raw)
                .collect()
        })
        .unwrap_or_default();
    groups.sort_unstable();
    Observation {
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        session: session(),
        uid: [
            rustix::process::getuid().as_raw(),
            rustix::process::geteuid().as_raw(),
        ],
        gid: [
            rustix::process::getgid().as_raw(),
            rustix::process::getegid().as_raw(),
        ],
        groups,
        umask: umask.bits(),
        capabilities: ["Inh", "Prm", "Eff", "Bnd", "Amb"]
            .into_iter()
            .filter_map(|set| {
                let bits = fields.get(format!("Cap{set}").as_str())?;
                Some((set.to_owned(), u64::from_str_radix(bits, 16).ok()?))
            })
            .collect(),
        no_new_privileges: fields
            .get("NoNewPrivs")
            .and_then(|value| value.parse().ok()),
        seccomp: fields.get("Seccomp").and_then(|value| value.parse().ok()),
        oom_score_adj: read("/proc/self/oom_score_adj")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        rlimits: RESOURCES
            .iter()
            .map(|&(name, resource)| {
                let limit = rustix::process::getrlimit(resource);
                (name.to_owned(), [limit.current, limit.maximum])
            })
            .collect(),
        environment: std::env::vars_os()
            .map(|(key, value)| format!("{}={}", key.to_string_lossy(), value.to_string_lossy()))
            .collect(),
        arguments: std::env::args_os()
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
        directory: rustix::process::getcwd(Vec::new())
            .ok()
            .map(|path| path.to_string_lossy().into_owned()),
        descriptors,
        hostname: name.nodename().to_string_lossy().into_owned(),
        domainname: name.domainname().to_string_lossy().into_owned(),
        namespaces: namespaces(),
        mounts: Mount::parse_all(&read("/proc/self/mountinfo").unwrap_or_default()),
        cgroup: read("/proc/self/cgroup").unwrap_or_default(),
        terminals,
        answers: questions
            .iter()
            .map(|&one| (one.to_owned(), answer(one)))
            .collect(),
    }
}

fn descriptors() -> BTreeMap<i32, String> {
    (0..=HIGHEST_DESCRIPTOR)
        .filter(|&number| sys::call(libc::SYS_fcntl, [unsigned(number), 1, 0, 0, 0, 0]).is_ok())
        .map(|number| {
            let target = fs::read_link(format!("/proc/self/fd/{number}")).map_or_else(
                |_| "?".to_owned(),
                |path| path.to_string_lossy().into_owned(),
            );
            (number, target)
        })
        .collect()
}

/// getsid(2) says 0 for a session whose leader is in an outer pid namespace.
fn session() -> i32 {
    sys::call(libc::SYS_getsid, [0; 6])
        .ok()
        .and_then(|id| i32::try_from(id).ok())
        .unwrap_or(-1)
}

fn unsigned(number: i32) -> libc::c_ulong {
    libc::c_ulong::try_from(number).unwrap_or_default()
}

fn terminals() -> BTreeMap<i32, Terminal> {
    let standard: [(i32, BorrowedFd<'_>); 3] = [
        (0, rustix::stdio::stdin()),
        (1, rustix::stdio::stdout()),
        (2, rustix::stdio::stderr()),
    ];
    standard
        .into_iter()
        .filter(|(_, descriptor)| rustix::termios::isatty(descriptor))
        .map(|(number, descriptor)| {
            let size = rustix::termios::tcgetwinsize(descriptor).ok();
            let device = rustix::fs::fstat(descriptor).map_or(0, |status| status.st_rdev);
            let terminal = Terminal {
                rows: size.map_or(0, |size| size.ws_row),
                columns: size.map_or(0, |size| size.ws_col),
                device,
            };
            (number, terminal)
        })
        .collect()
}

fn namespaces() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir("/proc/self/ns") else {
        return BTreeMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            Some((
                entry.file_name().to_string_lossy().into_owned(),
                target.to_string_lossy().into_owned(),
            ))
        })
        .collect()
}

fn answer(question: &str) -> Answer {
    let (verb, argument) = question.split_once(':').unwrap_or((question, ""));
    let outcome = match verb {
        "stat" => status(argument, false),
        "follow" => status(argument, true),
        "read" => read(argument).map(said),
        "link" => fs::read_link(argument).map(|path| said(path.to_string_lossy().into_owned())),
        "list" => list(argument).map(said),
        "write" => write(argument),
        "create" => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(argument)
            .map(nothing),
        "mkdir" => fs::create_dir(argument).map(nothing),
        "open" => open(OpenOptions::new().read(true), argument),
        "openw" => open(OpenOptions::new().write(true), argument),
        "execute" => Command::new(argument)
            .output()
            .map(|output| said(format!("{:?}", output.status.code()))),
        "cover" => rustix::mount::mount(
            "tmpfs",
            argument,
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            None,
        )
        .map(|()| nothing(()))
        .map_err(io::Error::from),
        "call" => call(argument),
        _ => Err(io::Error::other(format!("no such question: {question}"))),
    };
    outcome.unwrap_or_else(|error| Answer {
        errno: Some(error.raw_os_error().unwrap_or(-1)),
        text: error.to_string(),
        status: None,
    })
}

fn said(text: String) -> Answer {
    Answer {
        text,
        ..Answer::default()
    }
}

fn nothing<T>(_: T) -> Answer {
    Answer::default()
}

/// At most 64 KiB, without waiting for a writer, and without becoming a terminal's owner.
fn read(path: &str) -> io::Result<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let mut bytes = Vec::new();
    file.take(65_536).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn open(options: &mut OpenOptions, path: &str) -> io::Result<Answer> {
    options
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map(nothing)
}

fn write(argument: &str) -> io::Result<Answer> {
    let (path, text) = argument.split_once('=').unwrap_or((argument, ""));
    let mut file: File = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    file.write_all(text.as_bytes()).map(nothing)
}

fn list(path: &str) -> io::Result<String> {
    let mut names: Vec<String> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names.join(" "))
}

fn status(path: &str, follow: bool) -> io::Result<Answer> {
    let found = if follow {
        fs::metadata(path)?
    } else {
        fs::symlink_metadata(path)?
    };
    let kind = found.file_type();
    let kind = match () {
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "link",
        () if kind.is_char_device() => "character",
        () if kind.is_block_device() => "block",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "file",
    };
    let device = [
        rustix::fs::major(found.rdev()),
        rustix::fs::minor(found.rdev()),
    ];
    let status = FileStatus {
        kind: kind.to_owned(),
        mode: found.mode() & 0o7777,
        uid: found.uid(),
        gid: found.gid(),
        size: found.size(),
        device,
        inode: found.ino(),
        file_system: found.dev(),
    };
    Ok(Answer {
        status: Some(status),
        ..Answer::default()
    })
}

fn call(argument: &str) -> io::Result<Answer> {
    let mut words = argument.split(':');
    let name = words.next().unwrap_or_default();
    let number = number_of(name)
        .ok_or_else(|| io::Error::other(format!("the probe knows no system call {name}")))?;
    let mut arguments = [0; 6];
    for (place, word) in arguments.iter_mut().zip(words) {
        *place = word.parse().map_err(io::Error::other)?;
    }
    sys::call(number, arguments).map(|value| said(value.to_string()))
}

/// The system calls that cases make. With null pointers those that are allowed answer EFAULT or
/// EINVAL and change nothing.
fn number_of(name: &str) -> Option<libc::c_long> {
    Some(match name {
        "acct" => libc::SYS_acct,
        "add_key" => libc::SYS_add_key,
        "bpf" => libc::SYS_bpf,
        "clock_settime" => libc::SYS_clock_settime,
        "clone3" => libc::SYS_clone3,
        "delete_module" => libc::SYS_delete_module,
        "fchmodat" => libc::SYS_fchmodat,
        "finit_module" => libc::SYS_finit_module,
        "getcpu" => libc::SYS_getcpu,
        "getpgid" => libc::SYS_getpgid,
        "getpriority" => libc::SYS_getpriority,
        "getppid" => libc::SYS_getppid,
        "getsid" => libc::SYS_getsid,
        "init_module" => libc::SYS_init_module,
        "ioprio_get" => libc::SYS_ioprio_get,
        "kexec_load" => libc::SYS_kexec_load,
        "keyctl" => libc::SYS_keyctl,
        "mkdirat" => libc::SYS_mkdirat,
        "mount" => libc::SYS_mount,
        "open_by_handle_at" => libc::SYS_open_by_handle_at,
        "perf_event_open" => libc::SYS_perf_event_open,
        "personality" => libc::SYS_personality,
        "pivot_root" => libc::SYS_pivot_root,
        "ptrace" => libc::SYS_ptrace,
        "request_key" => libc::SYS_request_key,
        "sched_getscheduler" => libc::SYS_sched_getscheduler,
        "setdomainname" => libc::SYS_setdomainname,
        "setns" => libc::SYS_setns,
        "socket" => libc::SYS_socket,
        "swapon" => libc::SYS_swapon,
        "umount2" => libc::SYS_umount2,
        "unshare" => libc::SYS_unshare,
        "userfaultfd" => libc::SYS_userfaultfd,
        _ => return None,
    })
}
