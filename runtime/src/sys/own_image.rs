//! The file behind this process (`/proc/self/exe`), exchanged while the program runs.
//!
//! The program's segments are mapped anew from another descriptor of the same file, and the kernel
//! is told that this is the file we run from (prctl(2), `PR_SET_MM_MAP`, Linux 3.18, with
//! CONFIG_CHECKPOINT_RESTORE). It agrees only when nothing of the file is mapped through the old
//! mount any more: its answer is the proof.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::clone::last_errno;

/// `struct prctl_mm_map` of include/uapi/linux/prctl.h.
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Runs on from `file`, which must be the file that this process was executed from, opened for
/// reading. `arguments` is the number of strings in argv. For a process with one thread.
///
/// On failure the process runs on as before, wholly or in part from the old file.
///
/// # Errors
/// mmap(2)'s, mremap(2)'s, and prctl(2)'s: EPERM without `CAP_CHECKPOINT_RESTORE` (`CAP_SYS_ADMIN`
/// before Linux 5.9), EINVAL where the kernel lacks the call. ENOEXEC where the headers of the program
/// itself are not mapped.
pub fn run_from(file: BorrowedFd<'_>, arguments: usize) -> Result<(), Errno> {
    let headers = program_headers();
    let bias = load_bias(headers).ok_or(Errno::NOEXEC)?;
    // Data that follows data is moved in one piece.
    let mut data: Option<Segment> = None;
    for header in headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD)
    {
        let segment = Segment::of(header, bias);
        if header.p_flags & libc::PF_W == 0 {
            segment.map_from(file)?;
            continue;
        }
        data = match data {
            Some(before) if before.start + before.length == segment.start => Some(Segment {
                length: before.length + segment.length,
                ..before
            }),
            Some(before) => {
                before.make_anonymous()?;
                Some(segment)
            }
            None => Some(segment),
        };
    }
    data.map_or(Ok(()), |data| data.make_anonymous())?;
    // What the C library had protected after it had relocated it (RELRO).
    for header in headers
        .iter()
        .filter(|header| header.p_type == libc::PT_GNU_RELRO)
    {
        let start = page_of(bias + address(header.p_vaddr));
        let end = page_of(bias + address(header.p_vaddr) + address(header.p_memsz));
        // SAFETY: the range is of our own data, which is not written any more after relocation.
        if unsafe { libc::mprotect(start as *mut c_void, end - start, libc::PROT_READ) } != 0 {
            return Err(last_errno());
        }
    }
    tell_kernel(&memory_map(headers, bias, arguments, file))
}

/// The pages of one segment that are mapped from the file.
struct Segment {
    start: usize,
    length: usize,
    offset: libc::off_t,
    protection: libc::c_int,
}

impl Segment {
    fn of(header: &libc::Elf64_Phdr, bias: usize) -> Segment {
        let begin = bias + address(header.p_vaddr);
        let start = page_of(begin);
        let end = (begin + address(header.p_filesz)).next_multiple_of(page_size());
        let mut protection = libc::PROT_READ;
        if header.p_flags & libc::PF_W != 0 {
            protection |= libc::PROT_WRITE;
        }
        if header.p_flags & libc::PF_X != 0 {
            protection |= libc::PROT_EXEC;
        }
        Segment {
            start,
            length: end - start,
            offset: libc::off_t::try_from(address(header.p_offset) - (begin - start)).unwrap_or(0),
            protection,
        }
    }

    /// For what is never written: the same bytes from the other descriptor.
    fn map_from(&self, file: BorrowedFd<'_>) -> Result<(), Errno> {
        // SAFETY: the range is a segment of this program, and what replaces it, in one step, are
        // the same bytes of the same file: the code that runs here goes on in its new place.
        let mapped = unsafe {
            libc::mmap(
                self.start as *mut c_void,
                self.length,
                self.protection,
                libc::MAP_PRIVATE | libc::MAP_FIXED,
                file.as_raw_fd(),
                self.offset,
            )
        };
        check(mapped)
    }

    /// For data: a copy of it as it is now, which has no file.
    fn make_anonymous(&self) -> Result<(), Errno> {
        // SAFETY: new memory; then a copy of a readable segment into it, both `length` long; then
        // the copy takes the segment's place in one step. Nothing writes to the segment in
        // between: there is one thread, and these calls touch errno alone, which is not in it but
        // in thread-local storage, and only when they fail.
        unsafe {
            let copy = libc::mmap(
                std::ptr::null_mut(),
                self.length,
                self.protection,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            );
            check(copy)?;
            std::ptr::copy_nonoverlapping(self.start as *const u8, copy.cast::<u8>(), self.length);
            check(libc::mremap(
                copy,
                self.length,
                self.length,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                self.start as *mut c_void,
            ))
        }
    }
}

fn check(mapped: *mut c_void) -> Result<(), Errno> {
    if mapped == libc::MAP_FAILED {
        Err(last_errno())
    } else {
        Ok(())
    }
}

fn program_headers() -> &'static [libc::Elf64_Phdr] {
    // SAFETY: the kernel's auxiliary vector says where the program's headers are mapped and how
    // many there are (getauxval(3)); they stay there as long as the program runs.
    unsafe {
        let first = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        if first.is_null() {
            return &[];
        }
        std::slice::from_raw_parts(first, address(libc::getauxval(libc::AT_PHNUM)))
    }
}

/// What is to be added to the addresses in the file: zero if the program has a fixed place. Not every
/// linker gives a static program a header for its headers (`PT_PHDR`), but each says where the file's
/// first byte is mapped.
fn load_bias(headers: &[libc::Elf64_Phdr]) -> Option<usize> {
    let first = (&raw const __ehdr_start) as usize;
    headers
        .iter()
        .find(|header| header.p_type == libc::PT_LOAD && header.p_offset == 0)
        .map(|header| first - address(header.p_vaddr))
}

unsafe extern "C" {
    /// The start of the file in memory: ld(1) and lld(1) define it.
    static __ehdr_start: c_void;
    /// environ(7). The libc crate has it for some C libraries only.
    static environ: *const *const libc::c_char;
}

/// What the kernel knows of our memory: as it is, but for `exe_fd`. Its numbers are what ps(1)
/// shows, and the bounds of brk(2).
fn memory_map(
    headers: &[libc::Elf64_Phdr],
    bias: usize,
    arguments: usize,
    file: BorrowedFd<'_>,
) -> MemoryMap {
    let bounds = |flag: u32| {
        let mut segments = headers
            .iter()
            .filter(move |header| header.p_type == libc::PT_LOAD && header.p_flags & flag != 0);
        segments
            .next_back()
            .map_or((bias as u64, bias as u64 + 1), |header| {
                let start = bias as u64 + header.p_vaddr;
                (start, start + header.p_filesz)
            })
    };
    let (start_code, end_code) = bounds(libc::PF_X);
    let (start_data, end_data) = bounds(libc::PF_W);
    // SAFETY: sbrk(0) changes nothing. environ is as the kernel has put it on the stack, with argv
    // and a NULL before it (System V ABI, "Process Initialization"): so `argv` is inside the stack.
    let (brk, argv, env) = unsafe {
        (
            libc::sbrk(0) as u64,
            environ.sub(arguments + 1),
            *environ as u64,
        )
    };
    // SAFETY: as above; argv has at least its NULL.
    let arg_start = unsafe { *argv } as u64;
    // SAFETY: getauxval(3) reads a table of our own. The name of the executed file lies right
    // behind the environment's strings (fs/exec.c).
    let env_end = unsafe { libc::getauxval(libc::AT_EXECFN) };
    let env_start = if env == 0 { env_end } else { env };
    MemoryMap {
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk: brk,
        brk,
        start_stack: argv as u64 - 8,
        arg_start: if arg_start == 0 { env_start } else { arg_start },
        arg_end: env_start,
        env_start,
        env_end,
        auxv: 0,
        auxv_size: 0,
        exe_fd: file.as_raw_fd().unsigned_abs(),
    }
}

fn tell_kernel(map: &MemoryMap) -> Result<(), Errno> {
    // SAFETY: the structure is as the kernel declares it, and its size is passed; the kernel
    // checks what is in it.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_MM,
            libc::PR_SET_MM_MAP,
            std::ptr::from_ref(map),
            std::mem::size_of::<MemoryMap>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// In bytes.
fn page_size() -> usize {
    // SAFETY: getauxval(3) reads a table of our own.
    address(unsafe { libc::getauxval(libc::AT_PAGESZ) })
}

/// The start of the page of an address.
fn page_of(address: usize) -> usize {
    address & !(page_size() - 1)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "addresses and sizes of this program, which fit its pointers"
)]
fn address(number: u64) -> usize {
    number as usize
}
