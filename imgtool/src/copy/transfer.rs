//! Many blobs on their way, a few at once, each in a thread of its own.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result, bail};

use crate::layout::blob_source::BlobSource;
use crate::layout::digest::Digest;
use crate::layout::document::Descriptor;
use crate::progress::{Item, Outcome, Progress};
use crate::sys::signal;
use crate::transport::{Arrival, Destination, Source};

/// What is done with blobs while others still come.
pub type Meanwhile<'a> = Box<dyn FnOnce(&Transfer<'_>) -> Result<()> + Send + 'a>;

/// Blobs on their way.
pub struct Transfer<'a> {
    source: &'a dyn Source,
    destination: &'a dyn Destination,
    blobs: &'a [(Descriptor, Item)],
    progress: &'a Progress,
    /// The next blob to begin with.
    next: AtomicUsize,
    /// Something failed.
    over: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What is at the destination, whole and verified.
    arrived: HashSet<Digest>,
    /// What failed first.
    failure: Option<Error>,
}

impl std::fmt::Debug for Transfer<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = formatter.debug_struct("Transfer");
        debug.field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        destination: &'a dyn Destination,
        blobs: &'a [(Descriptor, Item)],
        progress: &'a Progress,
    ) -> Self {
        Transfer {
            source,
            destination,
            blobs,
            progress,
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Whether a blob is at the destination.
    pub fn has_arrived(&self, digest: &Digest) -> bool {
        self.state().arrived.contains(digest)
    }

    /// Waits until a blob is at the destination; an error if it won't be, because something failed.
    pub fn wait_for(&self, digest: &Digest) -> Result<()> {
        let is_awaited =
            |state: &mut State| state.failure.is_none() && !state.arrived.contains(digest);
        let state = self.changed.wait_while(self.state(), is_awaited);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.arrived.contains(digest) {
            return Ok(());
        }
        bail!("blob {digest} does not come: something else failed")
    }

    /// Moves all blobs, as many at a time as the destination takes, while `meanwhile` works with
    /// those that have arrived. The first that fails ends it all.
    pub(super) fn run(self, meanwhile: Option<Meanwhile<'_>>) -> Result<()> {
        let transfer = &self;
        std::thread::scope(|scope| {
            let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
            let mut started = Ok(());
            if let Some(meanwhile) = meanwhile {
                let work = || {
                    if let Err(error) = meanwhile(transfer) {
                        transfer.fail(error);
                    }
                };
                started = thread("meanwhile").spawn_scoped(scope, work).map(drop);
            }
            for _ in 1..self.destination.at_once().min(self.blobs.len()) {
                let blob = || thread("blob").spawn_scoped(scope, || transfer.work());
                started = started.and_then(|()| blob().map(drop));
            }
            if let Err(error) = started {
                transfer.fail(Error::new(error).context("can't start a thread for a blob"));
            }
            transfer.work();
        });
        let state = self.state.into_inner();
        match state.unwrap_or_else(PoisonError::into_inner).failure {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Moves one blob after the other, until none is left.
    fn work(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some((descriptor, item)) = self.blobs.get(number) else {
                return;
            };
            let blob = Blob {
                source: self.source,
                descriptor,
                progress: self.progress,
                number,
                over: &self.over,
            };
            self.progress.begin(number, item);
            let result = signal::check().map_err(Into::into).and_then(|()| {
                self.destination
                    .put_blob(descriptor, &blob, self.source.mountable())
            });
            self.progress.end(number, outcome(&result));
            match result {
                Ok(_) => {
                    self.state().arrived.insert(descriptor.digest.clone());
                    self.changed.notify_all();
                }
                Err(error) => self.fail(error),
            }
        }
    }

    /// Ends it all.
    fn fail(&self, error: Error) {
        self.state().failure.get_or_insert(error);
        self.over.store(true, Ordering::Relaxed);
        self.source.give_up();
        self.destination.give_up();
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn outcome(result: &Result<Arrival>) -> Outcome {
    match result {
        Ok(Arrival::Copied) => Outcome::Done,
        Ok(Arrival::Already) => Outcome::Already,
        Ok(Arrival::Mounted) => Outcome::Mounted,
        Err(_) => Outcome::Failed,
    }
}

/// A blob of the source, whose reading is progress.
struct Blob<'a> {
    source: &'a dyn Source,
    descriptor: &'a Descriptor,
    progress: &'a Progress,
    number: usize,
    over: &'a AtomicBool,
}

impl BlobSource for Blob<'_> {
    fn open(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        self.progress.advance(self.number, offset);
        Ok(Box::new(Watched {
            inner: self.source.blob(self.descriptor, offset)?,
            position: offset,
            blob: self,
        }))
    }
}

struct Watched<'a> {
    inner: Box<dyn Read + Send + 'a>,
    position: u64,
    blob: &'a Blob<'a>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.blob.over.load(Ordering::Relaxed) {
            return Err(io::Error::other("another blob failed"));
        }
        let count = self.inner.read(buffer)?;
        self.position += count as u64;
        self.blob.progress.advance(self.blob.number, self.position);
        Ok(count)
    }
}
