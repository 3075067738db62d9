//! The heap: glibc's, or one in place of musl's.

/// musl's allocator maps and unmaps memory a few pages at a time: some forty system calls for a container.
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Keeps what the heap has grown to. By default pages at its end are given back whenever there are
/// enough of them (mallopt(3), `M_TRIM_THRESHOLD`), a call each time (brk(2)), in a program that ends
/// in a few milliseconds.
pub fn keep_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: changes when the C library gives memory back, and no allocation.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30)
    };
}
