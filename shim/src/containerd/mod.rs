//! The front for containerd: its shim v2 contract (`docs/runtime-v2.md` in containerd's repository).

#[allow(dead_code, reason = "the service that speaks them follows")]
mod messages;
#[allow(dead_code, reason = "the service that asks for them follows")]
mod metrics;
#[allow(dead_code, unused_imports, reason = "the service that uses it follows")]
mod ttrpc;
