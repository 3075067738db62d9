//! Many blobs on their way, a few at once, each in a thread of its own.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use crate::layout::blob_source::BlobSource;
use crate::layout::document::Descriptor;
use crate::progress::{Item, Outcome, Progress};
use crate::sys::signal;
use crate::transport::{Arrival, Destination, Source};

/// Moves blobs, as many at a time as the destination takes. The first that fails ends it all.
pub(super) fn blobs(
    source: &dyn Source,
    destination: &dyn Destination,
    blobs: &[(Descriptor, Item)],
    progress: &Progress,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let work = || {
        while !over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((descriptor, item)) = blobs.get(number) else {
                return;
            };
            let blob = Blob {
                source,
                descriptor,
                progress,
                number,
                over: &over,
            };
            progress.begin(number, item);
            let result = signal::check()
                .map_err(Into::into)
                .and_then(|()| destination.put_blob(descriptor, &blob, source.mountable()));
            progress.end(number, outcome(&result));
            if let Err(error) = result {
                over.store(true, Ordering::Relaxed);
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| -> Result<()> {
        for _ in 1..destination.at_once().min(blobs.len()) {
            std::thread::Builder::new()
                .name("blob".into())
                .spawn_scoped(scope, work)
                .context("can't start a thread for a blob")
                .inspect_err(|_| over.store(true, Ordering::Relaxed))?;
        }
        work();
        Ok(())
    })?;
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
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
