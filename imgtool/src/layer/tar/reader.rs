//! The archive as a sequence of entries, each with its data.

use std::io::{self, BufRead};

use super::entry::{Entry, EntryKind, Timestamp};
use super::header::{BLOCK, Header};
use super::pax::{self, PaxRecords};
use super::problem::{Problem, TarError};
use crate::layer::path::{ImagePath, PathError};

/// How much an archive may ask for before it is taken for an attack.
#[derive(Debug, Clone, Copy)]
pub struct TarLimits {
    /// Entries, extended headers not counted.
    pub entries: u64,
    /// Bytes of one extended header (PAX, GNU long name).
    pub extension: u64,
}

impl Default for TarLimits {
    fn default() -> Self {
        // The largest images in use have some hundred thousand entries; Go's reader stops at
        // 1 MiB for an extended header.
        TarLimits {
            entries: 4_000_000,
            extension: 1 << 20,
        }
    }
}

/// Reads the entries of a tar archive one after the other.
#[derive(Debug)]
pub struct TarReader<R> {
    source: R,
    limits: TarLimits,
    /// Bytes taken from the source.
    offset: u64,
    /// Data bytes of the current entry not yet read.
    data_left: u64,
    /// Bytes that fill the current entry's last block.
    padding: u64,
    entries: u64,
    left_out: LeftOut,
}

/// Says of an entry that it is to be left out.
type LeftOut = fn(&ImagePath, &EntryKind) -> bool;

/// The extended headers before an entry.
#[derive(Default)]
struct Extensions {
    pax: Option<PaxRecords>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

/// The largest size that the header's eleven octal digits hold.
const LARGEST_OCTAL_SIZE: u64 = 0o77_777_777_777;

impl<R: BufRead> TarReader<R> {
    /// Reads the archive that `source` gives.
    pub fn new(source: R, limits: TarLimits) -> Self {
        TarReader {
            source,
            limits,
            offset: 0,
            data_left: 0,
            padding: 0,
            entries: 0,
            left_out: |_, _| false,
        }
    }

    /// Leaves out what `left_out` says; it counts as an entry all the same.
    #[must_use]
    pub fn without(mut self, left_out: LeftOut) -> Self {
        self.left_out = left_out;
        self
    }

    /// The source, to read on after the archive's end.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// The next entry, or nothing at the archive's end. What is left of the last entry's data is
    /// skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            self.skip_data()?;
            let start = self.offset;
            let refused = |problem| TarError::Refused {
                problem,
                offset: start,
                name: Vec::new(),
            };
            let Some(block) = self.header_block()? else {
                return if extended {
                    Err(refused(Problem::ExtensionAlone))
                } else {
                    Ok(None)
                };
            };
            let header = Header::parse(&block).map_err(refused)?;
            match header.kind {
                b'x' | b'g' | b'L' | b'K' => {
                    let body = self.extension(&header).map_err(|error| match error {
                        ExtensionError::Problem(problem) => refused(problem),
                        ExtensionError::Io(error) => TarError::Io(error),
                    })?;
                    extensions.take(header.kind, body).map_err(refused)?;
                    extended = true;
                }
                _ => {
                    self.entries += 1;
                    if self.entries > self.limits.entries {
                        return Err(refused(Problem::TooManyEntries(self.limits.entries)));
                    }
                    let shown = extensions.name(&header).to_vec();
                    let entry = merge(header, extensions).map_err(|problem| TarError::Refused {
                        problem,
                        offset: start,
                        name: shown,
                    })?;
                    self.data_left = entry.size;
                    self.padding = padding(entry.size);
                    if (self.left_out)(&entry.path, &entry.kind) {
                        extensions = Extensions::default();
                        extended = false;
                        continue;
                    }
                    return Ok(Some(entry));
                }
            }
        }
    }

    /// Up to a buffer's worth of the current entry's data, empty at its end. To be followed by
    /// [`TarReader::consume`].
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.data_left == 0 {
            return Ok(&[]);
        }
        let offset = self.offset;
        let buffer = self.source.fill_buf()?;
        if buffer.is_empty() {
            return Err(TarError::Refused {
                problem: Problem::Truncated,
                offset,
                name: Vec::new(),
            });
        }
        let length = buffer
            .len()
            .min(usize::try_from(self.data_left).unwrap_or(usize::MAX));
        Ok(&buffer[..length])
    }

    /// Says that `count` bytes of [`TarReader::data`] have been used.
    pub fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.offset += count as u64;
        self.data_left -= count as u64;
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        while self.data_left > 0 {
            let count = self.data()?.len();
            self.consume(count);
        }
        let padding = std::mem::take(&mut self.padding);
        let mut filler = [0; BLOCK];
        let filler = &mut filler[..usize::try_from(padding).unwrap_or(0)];
        self.read_exact(filler)
    }

    /// The next header block, or nothing at the end: two zero blocks, one at the very end of the
    /// source, or the source's end.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.source.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let start = self.offset;
        let mut block = [0; BLOCK];
        self.read_exact(&mut block)?;
        if block.iter().any(|&byte| byte != 0) {
            return Ok(Some(block));
        }
        if self.source.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.read_exact(&mut block)?;
        if block.iter().any(|&byte| byte != 0) {
            let problem = Problem::LoneZeroBlock;
            return Err(TarError::Refused {
                problem,
                offset: start,
                name: Vec::new(),
            });
        }
        Ok(None)
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, ExtensionError> {
        if header.size > self.limits.extension {
            return Err(ExtensionError::Problem(Problem::ExtensionTooLarge(
                self.limits.extension,
            )));
        }
        // Some readers read the whole last block: what is after the body has to be nothing.
        let length = usize::try_from(header.size).unwrap_or(0);
        let mut body = vec![0; length.next_multiple_of(BLOCK)];
        let result = self.read_exact(&mut body);
        if body[length..].iter().any(|&byte| byte != 0) {
            return Err(ExtensionError::Problem(Problem::ExtensionPadding));
        }
        body.truncate(length);
        match result {
            Ok(()) => Ok(body),
            Err(TarError::Refused { problem, .. }) => Err(ExtensionError::Problem(problem)),
            Err(TarError::Io(error)) => Err(ExtensionError::Io(error)),
        }
    }

    fn read_exact(&mut self, target: &mut [u8]) -> Result<(), TarError> {
        let mut filled = 0;
        while filled < target.len() {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                let problem = Problem::Truncated;
                return Err(TarError::Refused {
                    problem,
                    offset: self.offset,
                    name: Vec::new(),
                });
            }
            let count = buffer.len().min(target.len() - filled);
            target[filled..filled + count].copy_from_slice(&buffer[..count]);
            self.source.consume(count);
            self.offset += count as u64;
            filled += count;
        }
        Ok(())
    }
}

enum ExtensionError {
    Problem(Problem),
    Io(io::Error),
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

impl Extensions {
    /// Keeps an extended header's body for the entry that follows.
    fn take(&mut self, kind: u8, body: Vec<u8>) -> Result<(), Problem> {
        let conflict = match kind {
            b'x' => self.pax.replace(PaxRecords::parse(&body)?).is_some(),
            b'L' => self.long_name.replace(gnu_long(body)?).is_some(),
            b'K' => self.long_link.replace(gnu_long(body)?).is_some(),
            // Go's reader forgets, for a global header, what stands before it.
            _ if self.pax.is_some() || self.long_name.is_some() || self.long_link.is_some() => true,
            _ => return pax::check_global(&body),
        };
        // Go's reader replaces the first by the second, Python's merges them.
        if conflict {
            Err(Problem::ExtensionConflict)
        } else {
            Ok(())
        }
    }

    fn name<'a>(&'a self, header: &'a Header) -> &'a [u8] {
        let pax = self.pax.as_ref().and_then(|pax| pax.path.as_deref());
        pax.or(self.long_name.as_deref()).unwrap_or(&header.name)
    }

    fn link_name<'a>(&'a self, header: &'a Header) -> &'a [u8] {
        let pax = self.pax.as_ref().and_then(|pax| pax.link_path.as_deref());
        pax.or(self.long_link.as_deref())
            .unwrap_or(&header.link_name)
    }

    /// Go lets GNU's long name win over PAX, Python the other way round.
    fn check_conflict(&self) -> Result<(), Problem> {
        let Some(pax) = &self.pax else { return Ok(()) };
        let conflict = pax.path.is_some() && self.long_name.is_some()
            || pax.link_path.is_some() && self.long_link.is_some();
        if conflict {
            Err(Problem::ExtensionConflict)
        } else {
            Ok(())
        }
    }
}

/// GNU's long names end with a NUL, which isn't part of the name; nothing but NULs may follow.
fn gnu_long(mut body: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let end = body
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(Problem::LongName)?;
    if body[end..].iter().any(|&byte| byte != 0) {
        return Err(Problem::Name(PathError::Nul));
    }
    body.truncate(end);
    Ok(body)
}

fn merge(header: Header, extensions: Extensions) -> Result<Entry, Problem> {
    extensions.check_conflict()?;
    let name = extensions.name(&header);
    let path = ImagePath::parse(name).map_err(Problem::Name)?;
    let is_directory_name = name.ends_with(b"/");
    if header.kind == 0 && is_directory_name != header.name.ends_with(b"/") {
        // Python goes by the header's name, Go by the extended one.
        return Err(Problem::OldDirectory);
    }
    let kind = kind(&header, extensions.link_name(&header), is_directory_name)?;
    let pax = extensions.pax.unwrap_or_default();
    let size = size(&header, pax.size)?;
    if kind != EntryKind::File && size != 0 {
        // Readers disagree on whether data follows such a header.
        return Err(Problem::UnexpectedData);
    }
    Ok(Entry {
        path,
        kind,
        size,
        mode: header.mode,
        uid: id(pax.uid.unwrap_or(header.uid))?,
        gid: id(pax.gid.unwrap_or(header.gid))?,
        mtime: pax.mtime.unwrap_or(Timestamp {
            seconds: header.mtime,
            nanoseconds: 0,
        }),
        atime: pax.atime,
        xattrs: pax.xattrs,
    })
}

fn kind(header: &Header, link_name: &[u8], directory_name: bool) -> Result<EntryKind, Problem> {
    Ok(match header.kind {
        // Before POSIX a directory was a file whose name ends in a slash.
        0 if directory_name => EntryKind::Directory,
        0 | b'0' | b'7' if !directory_name => EntryKind::File,
        b'1' => EntryKind::HardLink(ImagePath::parse(link_name).map_err(Problem::LinkTarget)?),
        b'2' => EntryKind::Symlink(symlink_target(link_name)?),
        b'3' => {
            let (major, minor) = device(header)?;
            EntryKind::CharDevice(major, minor)
        }
        b'4' => {
            let (major, minor) = device(header)?;
            EntryKind::BlockDevice(major, minor)
        }
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        b'S' => return Err(Problem::Sparse),
        other => return Err(Problem::Kind(other)),
    })
}

fn symlink_target(target: &[u8]) -> Result<Vec<u8>, Problem> {
    if target.is_empty() {
        return Err(Problem::LinkTarget(PathError::Empty));
    }
    if target.contains(&0) {
        return Err(Problem::LinkTarget(PathError::Nul));
    }
    if target.len() > 4095 {
        return Err(Problem::LinkTarget(PathError::TooLong));
    }
    Ok(target.to_vec())
}

/// Linux has 12 bits for the major and 20 for the minor number (`linux/kdev_t.h`).
fn device(header: &Header) -> Result<(u32, u32), Problem> {
    let (major, minor) = header.device;
    if major < 1 << 12 && minor < 1 << 20 {
        Ok((major, minor))
    } else {
        Err(Problem::Device)
    }
}

/// PAX gives a size where the header can't hold it. A reader that doesn't know PAX goes by the
/// header, so a difference between the two that isn't needed is an attempt to show two readers
/// two archives.
fn size(header: &Header, pax: Option<u64>) -> Result<u64, Problem> {
    match pax {
        None => Ok(header.size),
        Some(size) if size == header.size || size > LARGEST_OCTAL_SIZE => Ok(size),
        Some(_) => Err(Problem::SizeConflict),
    }
    .and_then(|size| {
        // Room for the padding, and what the kernel calls a file size.
        if size < i64::MAX as u64 - 1024 {
            Ok(size)
        } else {
            Err(Problem::Number("size"))
        }
    })
}

fn id(number: u64) -> Result<u32, Problem> {
    u32::try_from(number)
        .ok()
        .filter(|&id| id != u32::MAX)
        .ok_or(Problem::Id)
}
