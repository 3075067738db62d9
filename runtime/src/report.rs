//! What is said while the work goes on: warnings, and debug messages for whoever asks for them.

/// Whoever listens.
pub trait Listener {
    /// Something that the caller asked for and does not get, although the work goes on.
    fn warn(&self, message: &str);
    /// Whether debug messages are wanted: they are not even made otherwise.
    fn wants_debug(&self) -> bool;
    /// A debug message.
    fn debug(&self, message: &str);
}

/// Nobody.
#[derive(Debug)]
pub struct Silence;

impl Listener for Silence {
    fn warn(&self, _: &str) {}

    fn wants_debug(&self) -> bool {
        false
    }

    fn debug(&self, _: &str) {}
}
