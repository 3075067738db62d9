//! Hearing that a container ran out of memory, and telling it before the end that it caused.

use anyhow::Result;

use super::Service;
use crate::containerd::events::Event;
use crate::containerd::messages::events::TaskOom;
use crate::supervise::oom::{News, OomWatch};
use crate::supervise::{Supervisor, Token};

/// Whose memory is watched.
#[derive(Debug)]
pub(super) struct OomEar {
    container: String,
    watch: OomWatch,
}

impl Service {
    /// Starts listening; a container whose memory can't be watched runs without.
    pub(super) fn watch_memory(&mut self, id: &str, core: &Supervisor) -> Result<()> {
        let Some(container) = self.containers.get(id) else {
            return Ok(());
        };
        let Some(cgroups) = &container.cgroups else {
            return Ok(());
        };
        let watch = match OomWatch::start(cgroups) {
            Ok(Some(watch)) => watch,
            Ok(None) => return Ok(()),
            Err(error) => {
                let message = format!("{id}: its memory is not watched: {error:#}");
                self.setting.log.warn(&message);
                return Ok(());
            }
        };
        let number = self.next_number();
        let token = Token::of_front(number);
        core.poller().add(&watch, token, watch.interest())?;
        let container = id.to_owned();
        self.oom_ears.insert(number, OomEar { container, watch });
        if let Some(container) = self.containers.get_mut(id) {
            container.oom = Some(number);
        }
        Ok(())
    }

    pub(super) fn hear_of_oom(&mut self, number: u64, core: &Supervisor) -> Result<()> {
        let Some(ear) = self.oom_ears.get_mut(&number) else {
            return Ok(());
        };
        match ear.watch.news() {
            News::Nothing => Ok(()),
            News::OutOfMemory => {
                let event = Event::Oom(TaskOom {
                    container_id: ear.container.clone(),
                });
                self.publish(&event, core)
            }
            News::Gone => {
                let id = ear.container.clone();
                self.stop_watching_memory(&id, core)
            }
        }
    }

    /// Asks once more before the container's end is told.
    pub(super) fn ask_for_oom(&mut self, id: &str, core: &Supervisor) -> Result<()> {
        match self.containers.get(id).and_then(|container| container.oom) {
            Some(number) => self.hear_of_oom(number, core),
            None => Ok(()),
        }
    }

    pub(super) fn stop_watching_memory(&mut self, id: &str, core: &Supervisor) -> Result<()> {
        let container = self.containers.get_mut(id);
        let number = container.and_then(|container| container.oom.take());
        match number.and_then(|number| self.oom_ears.remove(&number)) {
            Some(ear) => core.poller().remove(&ear.watch),
            None => Ok(()),
        }
    }
}
