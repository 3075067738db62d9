//! Ending on a signal the way that an error ends: with everything that was made removed.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicI32, Ordering};

/// The signal that arrived; 0 for none.
static ARRIVED: AtomicI32 = AtomicI32::new(0);

/// A signal asked us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by signal {0}")]
pub struct Interrupted(pub i32);

extern "C" fn arrived(signal: libc::c_int) {
    ARRIVED.store(signal, Ordering::Relaxed);
}

/// From here on SIGINT, SIGTERM and SIGHUP are noted for [`check`] instead of killing us, and end
/// a wait for input. A second one kills.
pub fn note_requests_to_stop() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: an all-zero sigaction is a valid value of that C struct (no handler, empty
        // mask, no flags), and its fields are then set to valid ones.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = arrived as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESETHAND;
        // SAFETY: `action` is initialized and outlives the call; the handler only stores to an
        // atomic, which signal-safety(7) allows; the old action isn't asked for.
        let result = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
        debug_assert_eq!(result, 0, "sigaction fails only for a bad signal number");
    }
}

/// An error if a signal asked us to stop.
pub fn check() -> Result<(), Interrupted> {
    match ARRIVED.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Interrupted(signal)),
    }
}
