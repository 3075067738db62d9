//! The front for containerd: its shim v2 contract (`docs/runtime-v2.md` in containerd's repository).

#[allow(dead_code, reason = "the service that speaks them follows")]
mod messages;
