//! bpf(2) for the device filter of cgroup v2.

use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

use crate::cgroup::device_filter::Instruction;

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 2;
const F_REPLACE: u32 = 4;

/// As many programs as the kernel lets be attached to one cgroup (`BPF_CGROUP_MAX_PROGS`).
const MOST_PROGRAMS: usize = 64;

/// Loads a device filter.
///
/// Before Linux 5.11 this fails with `EPERM` where `RLIMIT_MEMLOCK` is too low.
pub fn load_device_filter(program: &[Instruction]) -> rustix::io::Result<OwnedFd> {
    /// The part of `union bpf_attr` for `BPF_PROG_LOAD`.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
    }
    let mut request = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    loop {
        // SAFETY: `request` is laid out as the kernel wants it for this command; the instructions
        // and the license that it points to live until after the call.
        match unsafe { bpf(PROG_LOAD, &mut request) } {
            // A signal came while the program was being verified.
            Err(Errno::AGAIN) => {}
            // SAFETY: on success the kernel has given us a new descriptor.
            result => return result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
        }
    }
}

/// Attaches a loaded device filter to a cgroup, beside those that it has already: all of them have
/// to allow.
pub fn attach_device_filter(cgroup: impl AsFd, filter: impl AsFd) -> rustix::io::Result<()> {
    let mut request = Attachment::new(&cgroup, &filter, F_ALLOW_MULTI);
    // SAFETY: `request` is laid out as the kernel wants it for this command and points nowhere.
    unsafe { bpf(PROG_ATTACH, &mut request) }.map(drop)
}

/// Attaches a loaded device filter to a cgroup in the place of one that it has: at no time does
/// neither decide, or both (`BPF_F_REPLACE`, Linux 5.6; before that `EINVAL`).
pub fn replace_device_filter(
    cgroup: impl AsFd,
    filter: impl AsFd,
    replaced: impl AsFd,
) -> rustix::io::Result<()> {
    let mut request = Attachment::new(&cgroup, &filter, F_ALLOW_MULTI | F_REPLACE);
    request.replaced = number(&replaced);
    // SAFETY: `request` is laid out as the kernel wants it for this command and points nowhere.
    unsafe { bpf(PROG_ATTACH, &mut request) }.map(drop)
}

/// Detaches a device filter from a cgroup.
pub fn detach_device_filter(cgroup: impl AsFd, filter: impl AsFd) -> rustix::io::Result<()> {
    let mut request = Attachment::new(&cgroup, &filter, 0);
    // SAFETY: `request` is laid out as the kernel wants it for this command and points nowhere.
    unsafe { bpf(PROG_DETACH, &mut request) }.map(drop)
}

/// The device filters of a cgroup itself, leaving out those that we may not see (an LSM's label).
pub fn device_filters(cgroup: impl AsFd) -> rustix::io::Result<Vec<OwnedFd>> {
    /// The part of `union bpf_attr` for `BPF_PROG_QUERY`, whole: Linux 6.17 to 7.1 write to its
    /// last field whatever length they are told.
    #[repr(C)]
    struct Query {
        cgroup: u32,
        kind: u32,
        flags: u32,
        attach_flags: u32,
        ids: u64,
        count: u32,
        padding: u32,
        program_flags: u64,
        link_ids: u64,
        link_flags: u64,
        revision: u64,
    }
    let mut ids = [0_u32; MOST_PROGRAMS];
    let mut request = Query {
        cgroup: number(&cgroup),
        kind: ATTACH_TYPE_CGROUP_DEVICE,
        flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: u32::try_from(ids.len()).map_err(|_| Errno::TOOBIG)?,
        padding: 0,
        program_flags: 0,
        link_ids: 0,
        link_flags: 0,
        revision: 0,
    };
    // SAFETY: `request` is laid out as the kernel wants it for this command; `ids` has room for
    // `count` numbers and lives until after the call.
    unsafe { bpf(PROG_QUERY, &mut request) }?;
    let found = usize::try_from(request.count)
        .unwrap_or(MOST_PROGRAMS)
        .min(MOST_PROGRAMS);
    let mut filters = Vec::with_capacity(found);
    for &id in &ids[..found] {
        let mut request = [id, 0, 0];
        // SAFETY: three numbers are what the kernel wants for this command.
        match unsafe { bpf(PROG_GET_FD_BY_ID, &mut request) } {
            // SAFETY: on success the kernel has given us a new descriptor.
            Ok(fd) => filters.push(unsafe { OwnedFd::from_raw_fd(fd) }),
            // Another program can only deny more; and one that is gone denies nothing.
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filters)
}

/// The part of `union bpf_attr` for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct Attachment {
    cgroup: u32,
    filter: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

impl Attachment {
    fn new(cgroup: &impl AsFd, filter: &impl AsFd, flags: u32) -> Self {
        Attachment {
            cgroup: number(cgroup),
            filter: number(filter),
            kind: ATTACH_TYPE_CGROUP_DEVICE,
            flags,
            replaced: 0,
        }
    }
}

fn number(fd: &impl AsFd) -> u32 {
    fd.as_fd().as_raw_fd().cast_unsigned()
}

/// bpf(2).
///
/// # Safety
///
/// `request` is laid out as the part of `union bpf_attr` that `command` uses, and every address in
/// it is good for what `command` does with it.
unsafe fn bpf<T>(command: libc::c_int, request: &mut T) -> rustix::io::Result<libc::c_int> {
    let size = size_of_val(request);
    // SAFETY: the caller vouches for the request; its size is that of the very object.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(request), size) };
    if result < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    libc::c_int::try_from(result).map_err(|_| Errno::OVERFLOW)
}
