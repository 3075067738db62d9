//! From `linux.seccomp` to the filter's steps.

use super::{Action, Pointer, SeccompAgent, Step};
use crate::error::Result;
use crate::host::Host;
use crate::seccomp::{self, Program};
use crate::spec::Spec;

/// The filter of a process, until it has found its place among the steps.
#[derive(Default)]
pub(super) struct Filter<'a> {
    program: Option<Program>,
    /// Who answers for `SCMP_ACT_NOTIFY`, if the profile has that.
    pub(super) agent: Option<SeccompAgent<'a>>,
}

impl<'a> Filter<'a> {
    /// Compiles the profile, if there is one.
    pub(super) fn of(spec: &'a Spec<'a>, host: &Host) -> Result<Self> {
        let (Some(profile), Some(abilities)) = (&spec.linux.seccomp, &host.seccomp) else {
            return Ok(Filter::default());
        };
        let program = seccomp::compile(profile, abilities)?;
        let agent = program.has_listener().then(|| SeccompAgent {
            socket: profile.listener_path.as_deref().unwrap_or_default(),
            metadata: profile.listener_metadata.as_deref(),
        });
        Ok(Filter {
            program: (!program.instructions().is_empty()).then_some(program),
            agent,
        })
    }

    /// Installs the filter here, if that has not been done yet, and introduces it to its agent.
    pub(super) fn install(&mut self, steps: &mut Vec<Step<'a>>) {
        let Some(program) = self.program.take() else {
            return;
        };
        steps.push(Step {
            action: Action::Seccomp(program),
            pointer: Pointer::to("/linux/seccomp"),
            clause: "config-linux.md#seccomp",
        });
        if let Some(agent) = self.agent {
            steps.push(Step {
                action: Action::SendListener(agent),
                pointer: Pointer::to("/linux/seccomp/listenerPath"),
                clause: "config-linux.md#containerprocessstate",
            });
        }
    }
}
