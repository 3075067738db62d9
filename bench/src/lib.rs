//! Compares OCI runtimes with each other and with the kernel's own floor.
//!
//! The comparison is `windlass-bench` (`main.rs`): it lays bundles out ([`bundle`]), runs every
//! contestant ([`contestant`]) alternately ([`measure`]), counts system calls and memory in a
//! separate pass ([`trace`]) and prints the result ([`report`]). The floor is `windlass-floor`
//! ([`floor`]): a program that makes the same container with as few system calls as the kernel
//! allows, so that what a runtime costs by itself is what it costs above the floor. How runtimes bear many mounts
//! and many containers is asked by another program ([`scale`]).
//!
//! Everything is single-threaded.

pub mod bundle;
pub mod contestant;
pub mod floor;
pub mod ground;
pub mod hierarchies;
pub mod images;
pub mod measure;
pub mod report;
pub mod scale;
pub mod scenario;
pub mod shuffle;
pub mod state_directory;
pub mod supervisors;
pub mod sys;
pub mod tiny_elf;
pub mod trace;

/// musl's own allocator goes to the kernel for a few pages at a time, which the floor must not.
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
