//! An imitation of the resctrl file system (Documentation/filesystems/resctrl.rst), which only
//! processors with resource control have: a directory that is shown to the runtime in the place of
//! `/sys/fs/resctrl`, and whose groups come with the kernel's files.
//!
//! A path in the runtime's memory is exchanged before a call and restored behind it; it may not
//! change its length, so the directory's name has as many bytes as the place that it is shown at.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Follower, memory};

/// Where the runtime sees it.
const SHOWN: &str = "/sys/fs/resctrl";
/// What is said when the program looked neither there nor for its mount.
pub const NOT_LOOKED: &str = "tracer: nobody looked for resctrl";
/// `RDTGROUP_SUPER_MAGIC` (include/uapi/linux/magic.h).
const MAGIC: u64 = 0x0765_5821;
/// A line of mountinfo(5).
const MOUNT: &str = "999 1 0:99 / /sys/fs/resctrl rw,relatime - resctrl resctrl rw\n";
/// Files with the same length as the names that processes have for their mountinfo.
const MOUNTINFO: &[(&str, &str)] = &[
    ("/proc/self/mountinfo", "mnti"),
    ("/proc/thread-self/mountinfo", "mountinfo-t"),
];
/// What says which abilities the processors have, to runtimes that ask there.
const PROCESSORS: &str = "/proc/cpuinfo";
/// Those of resource control.
const FLAGS: &str = "rdt_a cat_l3 cdp_l3 mba cqm_llc cqm_occup_llc cqm_mbm_total cqm_mbm_local ";
/// What a new group shares: everything.
const ALL: &str = "    MB:0=100\n    L3:0=fff\n";

/// The imitation's directory.
#[derive(Debug)]
pub struct Imitation {
    /// Its place on the host.
    pub directory: PathBuf,
}

impl Imitation {
    /// Makes one with the default group, which this process's `number` tells from others.
    ///
    /// # Errors
    /// Those of making files.
    pub fn make(number: u32) -> io::Result<Imitation> {
        let directory = PathBuf::from(format!("/tmp/wcr-{:06}", number % 1_000_000));
        // Left by one that was killed.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory)?;
        for resource in ["L3", "MB", "L3_MON"] {
            fs::create_dir_all(directory.join("info").join(resource))?;
        }
        fs::write(directory.join("info/last_cmd_status"), "ok\n")?;
        fs::write(directory.join("info/L3/cbm_mask"), "fff\n")?;
        fs::write(directory.join("info/L3/min_cbm_bits"), "1\n")?;
        fs::write(directory.join("info/L3/num_closids"), "16\n")?;
        fs::write(
            directory.join("info/L3_MON/mon_features"),
            "llc_occupancy\n",
        )?;
        fill(&directory)?;
        Ok(Imitation { directory })
    }

    /// Makes a group beforehand, as an administrator would.
    ///
    /// # Errors
    /// Those of making files.
    pub fn group(&self, name: &str) -> io::Result<PathBuf> {
        let group = self.directory.join(name);
        fs::create_dir(&group)?;
        fill(&group)?;
        Ok(group)
    }
}

impl Drop for Imitation {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        let _ = fs::remove_file(processors(&self.directory));
    }
}

/// The imitation's own `/proc/cpuinfo`, whose name has as many bytes.
fn processors(directory: &Path) -> PathBuf {
    let name = directory.to_string_lossy();
    let number = name.rsplit('-').next().unwrap_or_default();
    PathBuf::from(format!("/tmp/wc{number}"))
}

/// Gives a group the files that the kernel gives it.
fn fill(group: &Path) -> io::Result<()> {
    let is_monitoring = group
        .parent()
        .is_some_and(|parent| parent.ends_with("mon_groups"));
    for file in ["tasks", "cpus", "cpus_list"] {
        fs::write(group.join(file), "")?;
    }
    if !is_monitoring {
        fs::write(group.join("schemata"), ALL)?;
        fs::create_dir(group.join("mon_groups"))?;
    }
    fs::create_dir(group.join("mon_data"))
}

/// Follows the program and shows it the imitation in `directory`.
///
/// # Errors
/// Those of tracing.
pub fn follow(directory: &Path, program: &[&str]) -> io::Result<i32> {
    let shown = directory.as_os_str().as_encoded_bytes().to_vec();
    if shown.len() != SHOWN.len() {
        return Err(io::Error::other(format!(
            "{} has not as many bytes as {SHOWN}",
            directory.display()
        )));
    }
    let mut showing = Showing {
        directory: directory.to_owned(),
        shown,
        pending: BTreeMap::new(),
        looked: false,
    };
    let status = super::follow(program, &mut showing)?;
    if !showing.looked {
        eprintln!("{NOT_LOOKED}");
    }
    Ok(status)
}

struct Showing {
    directory: PathBuf,
    /// The directory's name.
    shown: Vec<u8>,
    /// Calls that have begun, by their threads.
    pending: BTreeMap<i32, Pending>,
    /// Whether the program has looked for it where it is shown.
    looked: bool,
}

/// A call with an exchanged path.
struct Pending {
    number: i64,
    arguments: [u64; 6],
    /// Where the path is, and what stood there.
    address: u64,
    before: Vec<u8>,
    /// The path on the host.
    path: PathBuf,
}

impl Follower for Showing {
    fn before(&mut self, thread: i32, number: i64, arguments: [u64; 6]) -> io::Result<()> {
        let Some(index) = place_of_path(number) else {
            return Ok(());
        };
        let address = arguments[index];
        let Some(before) = memory::string(thread, address) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(&before).into_owned();
        let now = if let Some(rest) = below(&text) {
            let mut path = self.shown.clone();
            path.extend_from_slice(rest.as_bytes());
            path
        } else if let Some((_, file)) = MOUNTINFO.iter().find(|(name, _)| *name == text) {
            let real = fs::read_to_string(format!("/proc/{thread}/mountinfo"))?;
            let file = self.directory.join(file);
            fs::write(&file, real + MOUNT)?;
            file.into_os_string().into_encoded_bytes()
        } else if text == PROCESSORS {
            let real = fs::read_to_string(PROCESSORS)?;
            let file = processors(&self.directory);
            fs::write(
                &file,
                real.replace("\nflags\t\t: ", &format!("\nflags\t\t: {FLAGS}")),
            )?;
            file.into_os_string().into_encoded_bytes()
        } else {
            return Ok(());
        };
        self.looked = true;
        if now.len() != before.len() {
            return Err(io::Error::other(format!("{text} would change its length")));
        }
        let path = PathBuf::from(String::from_utf8_lossy(&now).into_owned());
        if is_removal(number, arguments) {
            // The kernel's files vanish with their directory.
            let _ = empty(&path);
        }
        memory::write(thread, address, &now)?;
        let pending = Pending {
            number,
            arguments,
            address,
            before,
            path,
        };
        self.pending.insert(thread, pending);
        Ok(())
    }

    fn after(&mut self, thread: i32, value: i64) -> io::Result<()> {
        let Some(call) = self.pending.remove(&thread) else {
            return Ok(());
        };
        memory::write(thread, call.address, &call.before)?;
        if value == 0 && is_making(call.number) {
            fill(&call.path)?;
        }
        if value == 0 && call.number == libc::SYS_statfs {
            // The first field of struct statfs is f_type.
            memory::write(thread, call.arguments[1], &MAGIC.to_ne_bytes())?;
        }
        Ok(())
    }
}

/// The rest of a path that is the file system's root or below it.
fn below(path: &str) -> Option<&str> {
    path.strip_prefix(SHOWN)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Empties a group of what [`fill`] has put there, so that rmdir(2) can remove it.
fn empty(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            let _ = fs::remove_dir_all(entry.path());
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_removal(number: i64, arguments: [u64; 6]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_rmdir {
        return true;
    }
    number == libc::SYS_unlinkat && arguments[2] & libc::AT_REMOVEDIR as u64 != 0
}

fn is_making(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_mkdir {
        return true;
    }
    number == libc::SYS_mkdirat
}

/// Which argument of a call is a path.
fn place_of_path(number: i64) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if [
        libc::SYS_open,
        libc::SYS_stat,
        libc::SYS_lstat,
        libc::SYS_access,
        libc::SYS_mkdir,
        libc::SYS_rmdir,
    ]
    .contains(&number)
    {
        return Some(0);
    }
    if number == libc::SYS_statfs {
        return Some(0);
    }
    [
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_mkdirat,
        libc::SYS_unlinkat,
    ]
    .contains(&number)
    .then_some(1)
}
