//! The cases, one file a chapter.

mod bad_input;
mod bind_mounts;
mod capabilities;
mod cgroups;
mod console;
mod control;
mod crash;
mod devices;
mod engine_contract;
mod exec;
mod features;
mod hooks;
mod hostile;
mod hostile_callers;
mod hostile_configs;
mod hostile_races;
mod intel_rdt;
mod lifecycle;
mod limits;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod required_fields;
mod resources;
mod rootfs;
mod rootless;
mod scheduling;
mod seccomp;
mod security_modules;
mod state;
mod systemd;
mod user_and_time;

use crate::case::Case;

/// Every case, chapter by chapter.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        lifecycle::CASES,
        state::CASES,
        process::CASES,
        scheduling::CASES,
        security_modules::CASES,
        capabilities::CASES,
        namespaces::CASES,
        user_and_time::CASES,
        net_devices::CASES,
        mounts::CASES,
        mount_options::CASES,
        bind_mounts::CASES,
        rootfs::CASES,
        devices::CASES,
        seccomp::CASES,
        cgroups::CASES,
        resources::CASES,
        systemd::CASES,
        intel_rdt::CASES,
        hooks::CASES,
        control::CASES,
        console::CASES,
        exec::CASES,
        engine_contract::CASES,
        features::CASES,
        bad_input::CASES,
        required_fields::CASES,
        hostile::CASES,
        hostile_races::CASES,
        hostile_callers::CASES,
        hostile_configs::CASES,
        rootless::CASES,
        limits::CASES,
        crash::CASES,
    ]
    .into_iter()
    .flatten()
}
