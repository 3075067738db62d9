//! Doing without cgroups that the runtime has no right to make, where nothing depends on them: runc's
//! rules for users without root's rights.

use rustix::io::Errno;

use super::create::Setup;
use crate::cgroup::{Layout, Write};
use crate::error::{Error, Result};
use crate::plan::NamespaceKind;

/// The controller whose rules are never a rootless user's to set: the container has the devices that
/// its user has.
const DEVICES: &str = "devices";

/// Whether the kernel has refused something for lack of rights: `EROFS` is how it says so where
/// cgroups are mounted read-only.
pub(super) fn is_refusal(error: &Error) -> bool {
    matches!(
        error.errno(),
        Some(Errno::PERM | Errno::ACCESS | Errno::ROFS)
    )
}

impl Setup<'_, '_> {
    /// Whether cgroups that can't be made are to be done without, if nothing depends on them.
    pub(super) fn is_rootless(&self) -> bool {
        self.request.cgroups.is_rootless()
    }

    /// Gives up those places that the runtime has no right to, after it was refused one. Gives the
    /// refusal back where config.json asks for more than what is left.
    ///
    /// # Errors
    /// `refusal`, with what would mend it.
    pub(super) fn give_up_refused_cgroups(
        &mut self,
        writes: &[Write<'_>],
        refusal: Error,
    ) -> Result<()> {
        let path = self.spec.linux.cgroups_path.as_deref();
        if path.is_some_and(|path| !path.is_empty()) {
            return Err(refusal);
        }
        let before = self.placement.places.len();
        self.placement.leave_out_forbidden();
        if self.placement.places.len() == before {
            return Err(refusal);
        }
        let needed = writes
            .iter()
            .filter(|write| write.controller != DEVICES)
            .find(|write| !self.placement.has_controller(&write.controller));
        if let Some(write) = needed {
            return Err(if self.host.hierarchies.layout == Layout::V2 {
                refusal.context(
                    "rootless needs no limits + no cgrouppath when no permission is granted for \
                     cgroups",
                )
            } else {
                refusal.context(format!(
                    "cannot set {} limit: container could not join or create cgroup",
                    write.controller
                ))
            }
            .at(write.pointer.clone()));
        }
        let own_pids = self.spec.linux.namespaces.iter().any(|namespace| {
            &*namespace.kind == NamespaceKind::Pid.name()
                && namespace.path.as_deref().is_none_or(str::is_empty)
        });
        if !own_pids {
            self.listener.warn(
                "Creating a rootless container with no cgroup and no private pid namespace. Such \
                 configuration is strongly discouraged (as it is impossible to properly kill all \
                 container's processes)",
            );
        }
        Ok(())
    }

    /// Writes the limits; rules for devices that a rootless user may not set are passed over.
    pub(super) fn write_cgroups(&self, writes: &[Write<'_>]) -> Result<()> {
        let asks_for_devices = writes.iter().any(|write| write.controller == DEVICES);
        match self.placement.apply(writes) {
            Err(_) if asks_for_devices && self.is_rootless() => {}
            done => return done,
        }
        let (devices, limits): (Vec<_>, Vec<_>) = writes
            .iter()
            .cloned()
            .partition(|write| write.controller == DEVICES);
        drop(self.placement.apply(&devices));
        self.placement.apply(&limits)
    }
}
