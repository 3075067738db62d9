//! The heap: glibc's, or one in place of musl's.

/// musl's allocator maps and unmaps memory a few pages at a time: some forty system calls for a container.
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Has the heap grow and shrink with few system calls, in a program that ends in a few milliseconds. To be
/// called before anything is allocated.
pub fn reserve_heap() {
    // What a container takes, asked for at once: pages that are never touched cost nothing.
    #[cfg(target_env = "musl")]
    drop(std::hint::black_box(Vec::<u8>::with_capacity(256 << 10)));
    // By default pages at its end are given back whenever there are enough of them (mallopt(3)), a call each
    // time (brk(2)).
    #[cfg(target_env = "gnu")]
    // SAFETY: changes when the C library gives memory back, and no allocation.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30)
    };
}
