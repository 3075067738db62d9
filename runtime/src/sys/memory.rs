//! The C library's allocator.

/// Keeps what the heap has grown to. By default pages at its end are given back whenever there are
/// enough of them (mallopt(3), `M_TRIM_THRESHOLD`), a call each time (brk(2)), in a program that ends
/// in a few milliseconds.
pub fn keep_heap() {
    // SAFETY: changes when the C library gives memory back, and no allocation.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30) };
}
