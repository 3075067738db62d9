//! The system calls that rustix lacks: the only `unsafe` code of the runtime.

#![allow(unsafe_code)]

pub mod bpf;
pub mod seccomp;
