//! How long a connection may be silent, and that a signal ends the wait.
//!
//! ureq has timeouts for whole steps, but a layer may take an hour to arrive and be well: what
//! counts is that bytes come. This stands between TCP and TLS.

use std::io;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::time::Duration as Wait;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use crate::sys::signal;

/// How often a wait looks for signals: one that another thread received doesn't end our read.
const GLANCE: Duration = Duration::from_millis(250);

/// Gives every connection its patience.
#[derive(Debug)]
pub(super) struct Patience {
    /// How long a connection may be silent.
    pub(super) idle: Duration,
}

impl<In: Transport> Connector<In> for Patience {
    type Out = PatientTransport<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| PatientTransport {
            inner,
            idle: self.idle,
        }))
    }
}

/// A connection that gives up when nothing comes for too long.
#[derive(Debug)]
pub(super) struct PatientTransport<T> {
    inner: T,
    idle: Duration,
}

impl<T: Transport> Transport for PatientTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        signal::check().map_err(io::Error::other)?;
        let allowed = exact(timeout).map_or(self.idle, |allowed| allowed.min(self.idle));
        let within = NextTimeout {
            after: Wait::Exact(allowed),
            ..timeout
        };
        match self.inner.transmit_output(amount, within) {
            Err(Error::Timeout(_)) if allowed == self.idle => Err(silent(self.idle, "taken")),
            other => other,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let started = Instant::now();
        loop {
            signal::check().map_err(io::Error::other)?;
            let waited = started.elapsed();
            let left = self.idle.saturating_sub(waited);
            if left.is_zero() {
                return Err(silent(self.idle, "came"));
            }
            let mut slice = left.min(GLANCE);
            if let Some(allowed) = exact(timeout) {
                let allowed = allowed.saturating_sub(waited);
                if allowed.is_zero() {
                    return Err(Error::Timeout(timeout.reason));
                }
                slice = slice.min(allowed);
            }
            let within = NextTimeout {
                after: Wait::Exact(slice),
                ..timeout
            };
            match self.inner.await_input(within) {
                Err(Error::Timeout(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn exact(timeout: NextTimeout) -> Option<Duration> {
    match timeout.after {
        Wait::Exact(duration) => Some(duration),
        Wait::NotHappening => None,
    }
}

fn silent(idle: Duration, what: &str) -> Error {
    let message = format!("nothing {what} for {} s", idle.as_secs_f32());
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}
