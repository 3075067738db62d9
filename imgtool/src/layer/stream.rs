//! A layer's bytes on their way from its blob to the tar reader, verified as they pass.
//!
//! One pass: a thread reads the blob, hashes it and inflates it; another hashes what comes out; the
//! caller's thread applies it. Both digests, the size and the limits are checked by
//! [`LayerStream::finish`]; until it returns, nothing read here may be trusted.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};

use super::limits::Limits;
use super::tar::{TarLimits, TarReader};
use super::toc;
use crate::layout::digest::{Digest, Hasher};
use crate::layout::media::Compression;
use crate::layout::mismatch::Mismatch;
use crate::progress::ItemProgress;
use crate::sys::signal;

/// How much is inflated at once, and how many such pieces may wait for the next thread: 2 MiB ahead.
const PIECE: usize = 256 << 10;
const PIECES_AHEAD: usize = 4;

/// A layer's blob and what the image says of it.
#[derive(Debug)]
pub struct LayerBlob {
    /// The blob, at its start.
    pub file: File,
    /// The manifest's digest of the blob.
    pub digest: Digest,
    /// The manifest's size of the blob.
    pub size: u64,
    /// How the media type says that it is compressed.
    pub compression: Compression,
    /// The configuration's digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Who is shown how much of the blob was read.
    pub progress: Option<ItemProgress>,
}

/// The uncompressed archive of a layer.
#[derive(Debug)]
pub struct LayerStream {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// Used pieces go back to be filled again.
    used: Sender<Vec<u8>>,
    piece: Vec<u8>,
    position: usize,
    /// Not there for an uncompressed layer: its blob's digest is its diffID.
    hashing: Option<JoinHandle<Digest>>,
    diff_id: Digest,
    bytes: u64,
    /// How many bytes the image may still unpack to.
    pub bytes_allowed: u64,
    /// Whether it has a table of contents.
    has_table: bool,
    worker: JoinHandle<Result<()>>,
}

impl LayerStream {
    /// Starts to read `blob`: some MiB are inflated ahead of the first read.
    pub fn start(blob: LayerBlob, limits: &Limits) -> Result<Self> {
        let same_digest = blob.compression == Compression::None && blob.digest == blob.diff_id;
        let diff_id = blob.diff_id.clone();
        // A blob that is shorter than it is to be is found out soon.
        let has_table = toc::has_table(&blob.file, blob.size).unwrap_or(false);
        let (pieces_in, mut pieces) = sync_channel(PIECES_AHEAD);
        let (used, used_out) = channel();
        let inflate_limits = limits.clone();
        let worker = std::thread::Builder::new()
            .name("inflate".into())
            .spawn(move || inflate(blob, &inflate_limits, &pieces_in, &used_out))
            .context("can't start a thread to inflate a layer")?;
        let mut hashing = None;
        if !same_digest {
            let hasher = Hasher::new(diff_id.algorithm());
            let (hashed_in, hashed) = sync_channel(PIECES_AHEAD);
            let inflated = std::mem::replace(&mut pieces, hashed);
            let thread = std::thread::Builder::new()
                .name("hash".into())
                .spawn(move || hash(hasher, &inflated, &hashed_in))
                .context("can't start a thread to hash a layer")?;
            hashing = Some(thread);
        }
        Ok(LayerStream {
            pieces,
            used,
            piece: Vec::new(),
            position: 0,
            hashing,
            diff_id,
            bytes: 0,
            bytes_allowed: limits.bytes,
            has_table,
            worker,
        })
    }

    /// The entries of the archive, without those that only its table of contents is made of.
    pub fn entries(self, limits: TarLimits) -> TarReader<Self> {
        let has_table = self.has_table;
        let entries = TarReader::new(self, limits);
        if has_table {
            entries.without(toc::is_about_table)
        } else {
            entries
        }
    }

    /// Reads to the end, since digests cover what follows the archive's end too, and checks
    /// everything. Returns the number of uncompressed bytes.
    pub fn finish(mut self) -> Result<u64> {
        loop {
            let length = self.fill_buf().context("read the layer to its end")?.len();
            if length == 0 {
                break;
            }
            self.consume(length);
        }
        match self.worker.join() {
            Ok(result) => result?,
            Err(_) => bail!("the inflating thread failed"),
        }
        if let Some(hashing) = self.hashing {
            let Ok(found) = hashing.join() else {
                bail!("the hashing thread failed");
            };
            if found != self.diff_id {
                bail!(
                    "the uncompressed layer is {found}, but the image's diffID is {}",
                    self.diff_id
                );
            }
        }
        Ok(self.bytes)
    }

    fn next_piece(&mut self) -> io::Result<()> {
        // Here, because what is not an entry's data (headers, the archive's rest) passes no other check.
        signal::check().map_err(io::Error::other)?;
        let Ok(piece) = self.pieces.recv() else {
            // The worker ended: at the end, or with an error that finish() tells.
            self.piece.clear();
            self.position = 0;
            return Ok(());
        };
        let old = std::mem::replace(&mut self.piece, piece?);
        self.position = 0;
        if !old.is_empty() {
            // The worker may have ended; then nobody needs the piece.
            drop(self.used.send(old));
        }
        self.bytes += self.piece.len() as u64;
        if self.bytes > self.bytes_allowed {
            return Err(io::Error::other(
                "the image's layers are larger than --max-bytes allows",
            ));
        }
        Ok(())
    }
}

impl Read for LayerStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for LayerStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.piece.len() {
            self.next_piece()?;
        }
        Ok(&self.piece[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

/// The hashing thread: passes on what it hashes.
fn hash(
    mut hasher: Hasher,
    inflated: &Receiver<io::Result<Vec<u8>>>,
    hashed: &SyncSender<io::Result<Vec<u8>>>,
) -> Digest {
    for piece in inflated {
        if let Ok(bytes) = &piece {
            hasher.update(bytes);
        }
        // The reader gave up and has its own error.
        if hashed.send(piece).is_err() {
            break;
        }
    }
    hasher.finish()
}

/// The inflating thread.
fn inflate(
    blob: LayerBlob,
    limits: &Limits,
    pieces: &SyncSender<io::Result<Vec<u8>>>,
    used: &Receiver<Vec<u8>>,
) -> Result<()> {
    let mut source = HashingReader {
        file: blob.file,
        hasher: Hasher::new(blob.digest.algorithm()),
        read: 0,
        size: blob.size,
        progress: blob.progress,
    };
    match inflate_pieces(blob.compression, &mut source, limits, pieces, used) {
        Ok(Receiving::Wanted) => {}
        // The reader gave up and has its own error.
        Ok(Receiving::Over) => return Ok(()),
        Err(error) => {
            drop(pieces.send(Err(error)));
            return Ok(());
        }
    }
    // Whatever the decompressor left unread belongs to the digest.
    io::copy(&mut source, &mut io::sink()).context("read the blob to its end")?;
    let found = source.hasher.finish();
    Mismatch::check((&blob.digest, blob.size), (&found, source.read))?;
    Ok(())
}

/// Whether the other side of the channel is still there.
enum Receiving {
    Wanted,
    Over,
}

fn inflate_pieces(
    compression: Compression,
    source: &mut HashingReader,
    limits: &Limits,
    pieces: &SyncSender<io::Result<Vec<u8>>>,
    used: &Receiver<Vec<u8>>,
) -> io::Result<Receiving> {
    let size = source.size;
    let mut buffered = BufReader::with_capacity(PIECE, &mut *source);
    compression.check_magic(buffered.fill_buf()?)?;
    let mut decoder = compression.decoder(buffered, &limits.memory)?;
    let mut total = 0;
    loop {
        let mut piece = used.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let mut filled = 0;
        while filled < PIECE {
            match decoder.read(&mut piece[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return Ok(Receiving::Wanted);
        }
        total += filled as u64;
        if total > limits.ratio_from && total / limits.ratio > size {
            let ratio = limits.ratio;
            let message =
                format!("the layer grows to more than {ratio} times its blob (see --max-ratio)");
            return Err(io::Error::other(message));
        }
        piece.truncate(filled);
        if pieces.send(Ok(piece)).is_err() {
            return Ok(Receiving::Over);
        }
    }
}

/// Hashes and counts what is read from a blob, and reads no further than its size.
struct HashingReader {
    file: File,
    hasher: Hasher,
    read: u64,
    size: u64,
    progress: Option<ItemProgress>,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.read += count as u64;
        if self.read > self.size {
            let message = format!(
                "the blob is longer than the {} bytes of its descriptor",
                self.size
            );
            return Err(io::Error::other(message));
        }
        if let Some(progress) = &self.progress {
            progress.advance(self.read);
        }
        Ok(count)
    }
}
