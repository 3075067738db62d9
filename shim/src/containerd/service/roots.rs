//! Containers whose root file system a helper mounts: they are created when it is there.

use anyhow::Result;

use super::runtime_error::LogMark;
use super::{Outcome, Reply, Service};
use crate::containerd::rootfs::Mounting;
use crate::containerd::ttrpc::CallId;
use crate::supervise::{Interest, Supervisor, Token};

/// A root that is on its way.
#[derive(Debug)]
pub(super) struct Root {
    container: String,
    /// Who wants the container created.
    call: CallId,
    mounting: Mounting,
}

impl Service {
    /// Goes on with `container` when its root is there.
    pub(super) fn await_root(
        &mut self,
        call: CallId,
        container: String,
        mounting: Mounting,
        core: &Supervisor,
    ) -> Outcome {
        let number = self.next_number();
        let token = Token::of_front(number);
        let watched = core.poller().add(mounting.readiness(), token, Interest::IN);
        if let Some(waiting) = self.containers.get_mut(&container) {
            // So that it is given up when its caller waits no longer.
            waiting.first.birth = Some((call, LogMark::now(&waiting.bundle)));
        }
        let root = Root {
            container,
            call,
            mounting,
        };
        if let Err(error) = watched {
            root.mounting.give_up();
            let _ = root.mounting.conclude();
            self.unmake(&root.container);
            return Err(error.into());
        }
        self.roots.insert(number, root);
        Ok(Reply::Later)
    }

    /// The root is there, or will never be.
    pub(super) fn hear_of_root(&mut self, root: Root, core: &mut Supervisor) -> Result<()> {
        let Root {
            container,
            call,
            mounting,
        } = root;
        core.poller().remove(mounting.readiness())?;
        let outcome = match mounting.conclude() {
            Ok(()) => self.create_on_root(call, &container, core),
            Err(error) => {
                self.unmake(&container);
                Err(error.into())
            }
        };
        match outcome {
            Ok(Reply::Later) => {}
            Ok(Reply::Now(payload)) => self.answer(call, Ok(payload), core),
            Err(failure) => self.answer(call, Err(failure), core),
        }
        Ok(())
    }

    /// Nobody wants this container any more.
    pub(super) fn give_root_up(&mut self, container: &str) {
        let mut roots = self.roots.values();
        if let Some(root) = roots.find(|root| root.container == container) {
            root.mounting.give_up();
        }
    }
}
