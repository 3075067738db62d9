//! Who stands between the core and the outside.

use std::time::Instant;

use anyhow::Result;

use super::{
    Born, CallKey, Event, Exit, Failure, Poller, ProcessKey, Refusal, Said, Source, Supervisor,
};

/// Takes the output, gives input and signals, and decides what happens next. There is one for each
/// kind of caller.
///
/// An error from any of its methods ends the supervision: what concerns one client or one process
/// only is the front's to contain.
pub trait Front {
    /// One of the front's own descriptors is ready.
    fn ready(&mut self, event: Event, core: &mut Supervisor) -> Result<()>;

    /// What came of [`Supervisor::give_birth`]. After a refusal nothing is left, and the key means
    /// nothing any more.
    fn born(
        &mut self,
        key: ProcessKey,
        outcome: Result<Born, Refusal>,
        core: &mut Supervisor,
    ) -> Result<()>;

    /// What came of [`Supervisor::call`].
    fn called(
        &mut self,
        key: CallKey,
        outcome: Result<Said, Failure>,
        core: &mut Supervisor,
    ) -> Result<()>;

    /// A process has written `bytes`. They are in its log already (if it has one).
    fn output(
        &mut self,
        key: ProcessKey,
        source: Source,
        bytes: &[u8],
        poller: &Poller,
    ) -> Result<()>;

    /// The core must not read further output that goes through [`Front::output`] now: someone who
    /// must not miss any of it is behind, or not there yet.
    fn holds_back(&self, key: ProcessKey) -> bool;

    /// The process takes input again, after [`super::ContainerInput::write`] had to stop.
    fn input_wanted(&mut self, key: ProcessKey, core: &mut Supervisor) -> Result<()>;

    /// The process has ended. Output that it wrote before may still follow. This may come before
    /// the answer of the `start` that let it run.
    fn exited(&mut self, key: ProcessKey, exit: Exit, core: &mut Supervisor) -> Result<()>;

    /// The process has ended and all of its output is where it belongs, but for what `troubles`
    /// tell of, a line each. The core keeps the process until [`Supervisor::forget`].
    fn drained(
        &mut self,
        key: ProcessKey,
        troubles: Vec<String>,
        core: &mut Supervisor,
    ) -> Result<()>;

    /// One of the signals that [`Supervisor::new`] was told of has arrived.
    fn signalled(&mut self, signal: i32, core: &mut Supervisor) -> Result<()>;

    /// When [`Front::alarm`] is to be called, if ever.
    fn next_alarm(&self) -> Option<Instant> {
        None
    }

    /// The time of [`Front::next_alarm`] has come.
    fn alarm(&mut self, _core: &mut Supervisor) -> Result<()> {
        Ok(())
    }

    /// Whether the supervisor's work is done.
    fn is_done(&self) -> bool;
}
