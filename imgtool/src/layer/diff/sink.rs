//! A layer's bytes on their way into a layout: hashed, compressed and hashed again.
//!
//! The caller's thread hashes what it writes; another one compresses it and writes the blob.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};

use crate::layout::blob::{BlobWriter, Incoming, IncomingBlob};
use crate::layout::digest::{Algorithm, Hasher};
use crate::layout::edit::NewLayer;
use crate::layout::media::Compression;
use crate::sys::signal;

/// How much is compressed at once, and how many such pieces may wait: 4 MiB.
const PIECE: usize = 256 << 10;
const PIECES_AHEAD: usize = 16;

/// Where an uncompressed layer is written to.
#[derive(Debug)]
pub struct LayerSink {
    compression: Compression,
    piece: Vec<u8>,
    pieces: SyncSender<Vec<u8>>,
    hasher: Hasher,
    written: u64,
    /// Nothing once its error has been told.
    worker: Option<JoinHandle<io::Result<IncomingBlob>>>,
}

impl LayerSink {
    /// Begins a layer, whose blob comes into `incoming`.
    pub fn new(incoming: &mut Incoming, compression: Compression) -> Result<Self> {
        let blob = incoming.begin()?;
        let (pieces, pieces_out) = sync_channel(PIECES_AHEAD);
        let worker = std::thread::Builder::new()
            .name("compress".into())
            .spawn(move || compress(compression, &pieces_out, blob))
            .context("can't start a thread to compress a layer")?;
        Ok(LayerSink {
            compression,
            piece: Vec::with_capacity(PIECE),
            pieces,
            hasher: Hasher::new(Algorithm::Sha256),
            written: 0,
            worker: Some(worker),
        })
    }

    /// Ends the layer.
    pub fn finish(mut self) -> Result<NewLayer> {
        self.send()?;
        drop(self.pieces);
        let blob = match self.worker.map(JoinHandle::join) {
            Some(Ok(result)) => result.context("write the layer's blob")?,
            _ => bail!("the compressing thread failed"),
        };
        Ok(NewLayer {
            blob,
            compression: self.compression,
            diff_id: self.hasher.finish(),
            uncompressed: self.written,
        })
    }

    fn send(&mut self) -> io::Result<()> {
        signal::check().map_err(io::Error::other)?;
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.hasher.update(&piece);
        self.written += piece.len() as u64;
        if self.pieces.send(piece).is_ok() {
            return Ok(());
        }
        // The worker ends before us only with an error.
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => Err(error),
            _ => Err(io::Error::other("the compressing thread failed")),
        }
    }
}

impl Write for LayerSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..length]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The compressing thread.
fn compress(
    compression: Compression,
    pieces: &Receiver<Vec<u8>>,
    blob: BlobWriter,
) -> io::Result<IncomingBlob> {
    let mut encoder = compression.encoder(blob)?;
    for piece in pieces {
        encoder.write_all(&piece)?;
    }
    Ok(encoder.finish()?.finish())
}
