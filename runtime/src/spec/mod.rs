//! config.json (runtime-spec 1.3, config.md and config-linux.md): its types, its loading, its checks.

pub mod resources;
pub mod seccomp;
