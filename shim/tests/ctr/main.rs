//! The shim as containerd's: a real containerd, and `ctr` in the place of people.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod daemon;
mod faults;
#[path = "../harness/mod.rs"]
mod harness;
mod lifecycle;
mod restart;
mod streams;
