//! The steps of a container's cgroups: making them, what is written there, and init's way in.

use super::delegation::cgroup_owner;
use super::{Action, Birth, Pointer, Side, Step};
use crate::cgroup::devices::{self, Enforcement};
use crate::cgroup::systemd::{Property, annotations, properties};
use crate::cgroup::{self, Maker};
use crate::error::Result;
use crate::host::Host;
use crate::spec::Spec;

const PATH: &str = "config-linux.md#cgroups-path";
const OWNERSHIP: &str = "config-linux.md#cgroup-ownership";
const RESOURCES: &str = "config-linux.md#control-groups";

/// The steps, by where they stand.
#[derive(Debug, Default)]
pub(super) struct CgroupSteps<'a> {
    /// Those before init's birth, in its cgroup then.
    pub(super) before_birth: Vec<Step<'a>>,
    /// Those after its birth: systemd makes no scope without a process.
    pub(super) after_birth: Vec<Step<'a>>,
    /// Init's way in, where it goes by itself.
    pub(super) by_init: Option<Step<'a>>,
}

/// The steps of the cgroups that `maker` makes.
///
/// # Errors
/// For what this host, or `maker`, can't honour.
pub(super) fn steps<'a>(
    spec: &'a Spec<'a>,
    host: &Host,
    maker: &'a Maker,
    birth: &Birth<'_>,
    warnings: &mut Vec<String>,
) -> Result<CgroupSteps<'a>> {
    let mut rules = Vec::new();
    let mut writes = Vec::new();
    if let Some(resources) = &spec.linux.resources {
        rules = devices::rules(resources)?;
        writes = cgroup::writes(resources, &host.hierarchies).map_err(|error| match maker {
            Maker::Nobody => error.hint("--cgroup-manager disabled leaves nothing to set it in"),
            _ => error,
        })?;
        for ignored in cgroup::ignored(resources, host.hierarchies.layout) {
            warnings.push(format!("{}: {}", ignored.pointer, ignored.reason));
        }
    }
    if *maker == Maker::Nobody {
        if !rules.is_empty() {
            warnings.push(
                "/linux/resources/devices: not enforced with --cgroup-manager disabled".to_owned(),
            );
        }
        return Ok(CgroupSteps::default());
    }
    rules.extend_from_slice(devices::default_rules());

    let mut making = Vec::with_capacity(5);
    if let Maker::Systemd(unit) = maker {
        let layout = host.hierarchies.layout;
        let mut told = unit.base_properties(layout);
        annotations::properties(&spec.annotations, &mut told)?;
        let limits = properties::of_writes(&mut writes, layout, true, &mut |warning| {
            warnings.push(warning.to_owned());
        });
        let devices = properties::of_devices(&rules, layout);
        let mut put = |property: Property| properties::put(&mut told, property);
        limits.into_iter().chain(devices).for_each(&mut put);
        making.push(step(
            Action::StartUnit(unit, told),
            "/linux/cgroupsPath",
            PATH,
        ));
    }
    making.push(step(Action::CreateCgroups, "/linux/cgroupsPath", PATH));
    let filter = match devices::enforcement(&rules, &host.hierarchies)? {
        Enforcement::Writes(device_writes) => {
            writes.extend(device_writes);
            None
        }
        Enforcement::Filter(program) => Some(Action::FilterDevices(program)),
    };
    making.push(step(
        Action::WriteCgroups(writes),
        "/linux/resources",
        RESOURCES,
    ));
    making.extend(filter.map(|filter| step(filter, "/linux/resources/devices", RESOURCES)));

    if let Some((owner, mount)) = cgroup_owner(spec)
        && host.hierarchies.layout == cgroup::Layout::V2
    {
        making.push(Step {
            action: Action::DelegateCgroup(owner),
            pointer: Pointer::element("/mounts", mount),
            clause: OWNERSHIP,
        });
    }

    let entering = |side| step(Action::EnterCgroups(side), "/linux/cgroupsPath", PATH);
    let (before_birth, mut after_birth) = match maker {
        Maker::Systemd(_) => (Vec::new(), making),
        _ => (making, Vec::new()),
    };
    // A process that is made elsewhere is not born in its cgroup, and may not have the rights there.
    let by_init = if before_birth.is_empty() || matches!(birth, Birth::Beyond(_)) {
        after_birth.push(entering(Side::Runtime));
        None
    } else {
        Some(entering(Side::Init))
    };
    Ok(CgroupSteps {
        before_birth,
        after_birth,
        by_init,
    })
}

fn step<'a>(action: Action<'a>, pointer: &'static str, clause: &'static str) -> Step<'a> {
    Step {
        action,
        pointer: Pointer::to(pointer),
        clause,
    }
}
