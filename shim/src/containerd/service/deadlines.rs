//! Callers that have given up, as the deadline says that comes with a call: what they asked for is not
//! begun any more, and a runtime that is still at it is ended. So a runtime that hangs keeps nobody
//! else from the container.

use anyhow::Result;

use super::Service;
use crate::containerd::ttrpc::CallId;
use crate::supervise::Supervisor;

const WHY: &str = "its caller waited no longer";

impl Service {
    /// Nobody waits any more for what comes of `late`.
    pub(super) fn give_up(&mut self, late: &[CallId], core: &mut Supervisor) -> Result<()> {
        for (key, undertaking) in &self.undertakings {
            if undertaking.call.is_some_and(|call| late.contains(&call)) {
                core.interrupt(*key, WHY);
            }
        }
        let mut births = Vec::new();
        for (id, container) in &mut self.containers {
            container.queue.retain(|(call, _)| !late.contains(call));
            for (exec, process) in container.processes() {
                if let Some((call, _)) = &process.birth
                    && late.contains(call)
                {
                    births.push((id.clone(), exec.to_owned()));
                }
            }
        }
        for (id, exec) in births {
            self.give_birth_up(&id, &exec, WHY, core)?;
        }
        Ok(())
    }
}
