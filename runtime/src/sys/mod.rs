//! The system calls that rustix lacks: the only `unsafe` code of the runtime.

#![allow(unsafe_code)]

pub mod argv;
pub mod bpf;
pub mod clone;
pub mod exec;
pub mod identity;
pub mod keyring;
pub mod memory;
pub mod mount;
pub mod net;
pub mod own_image;
pub mod regex;
pub mod scheduling;
pub mod seccomp;
pub mod shared;
pub mod signal;
pub mod spawn;
