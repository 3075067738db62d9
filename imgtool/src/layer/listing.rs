//! The names in a directory, in order, in little memory however many they are: an image decides about
//! that, and a walk holds a list for every directory that it is in.
//!
//! What doesn't fit waits in a file without a name (in `TMPDIR`), sorted piece by piece and merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use rustix::fs::FileType;

use super::rootfs::Directory;
use crate::memory_budget::{MemoryBudget, MemoryShare};

/// What all lists together may keep in memory.
static KEPT: LazyLock<MemoryBudget> = LazyLock::new(|| MemoryBudget::new(4 << 20));

/// How much is sorted at once.
const PIECE: usize = 2 << 20;

/// The memory of all pieces' beginnings while they are merged.
const MERGE_BUFFERS: usize = 2 << 20;

/// The names in a directory, or in several together, each once, by their bytes.
#[derive(Debug)]
pub struct Listing {
    sorted: Sorted,
    last: Option<Vec<u8>>,
}

impl Listing {
    /// All names in these directories.
    pub fn of<'a>(directories: impl IntoIterator<Item = &'a Directory>) -> Result<Self> {
        let mut sorter = Sorter::new(PIECE);
        for directory in directories {
            each_entry(directory, |name, _| sorter.add(&[name]))?;
        }
        sorter.finish(&KEPT)
    }
}

impl Iterator for Listing {
    type Item = Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.sorted.next().transpose()? {
                Ok(name) if self.last.as_ref() == Some(&name) => {}
                Ok(name) => {
                    self.last = Some(name.clone());
                    return Some(Ok(name));
                }
                Err(error) => return Some(Err(error).context("read a list of names")),
            }
        }
    }
}

/// The names in a directory with whether they are directories', those that aren't first.
#[derive(Debug)]
pub struct FilesFirst(Listing);

impl FilesFirst {
    /// The names in this directory.
    pub fn of(directory: &Directory) -> Result<Self> {
        let mut sorter = Sorter::new(PIECE);
        each_entry(directory, |name, is_directory| {
            sorter.add(&[&[u8::from(is_directory)], name])
        })?;
        sorter.finish(&KEPT).map(FilesFirst)
    }
}

impl Iterator for FilesFirst {
    type Item = Result<(Vec<u8>, bool)>;

    fn next(&mut self) -> Option<Self::Item> {
        let marked = self.0.next()?;
        Some(marked.map(|mut name| {
            let is_directory = name.remove(0) != 0;
            (name, is_directory)
        }))
    }
}

/// Reads a directory: its names, each with whether it is a directory's.
fn each_entry(
    directory: &Directory,
    mut take: impl FnMut(&[u8], bool) -> io::Result<()>,
) -> Result<()> {
    directory.each_entry(|entry| {
        let name = entry.file_name().to_bytes();
        let kind = match entry.file_type() {
            // Some file systems don't say.
            FileType::Unknown => directory
                .stat(name)?
                .map(|stat| FileType::from_raw_mode(stat.st_mode)),
            kind => Some(kind),
        };
        take(name, kind == Some(FileType::Directory)).with_context(|| {
            let (path, place) = (directory.path(), std::env::temp_dir());
            format!("note the names in {path} in {}", place.display())
        })
    })
}

/// Names that come in any order.
struct Sorter {
    piece: Piece,
    largest_piece: usize,
    written: Option<Written>,
}

/// Sorted pieces one behind the other, each up to its end.
struct Written {
    file: BufWriter<File>,
    ends: Vec<u64>,
}

impl Sorter {
    fn new(largest_piece: usize) -> Self {
        Sorter {
            piece: Piece::default(),
            largest_piece,
            written: None,
        }
    }

    /// Takes a name, whose parts these are.
    fn add(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.piece.add(parts);
        if self.piece.memory() >= self.largest_piece {
            self.write_piece()?;
        }
        Ok(())
    }

    fn write_piece(&mut self) -> io::Result<()> {
        let written = match &mut self.written {
            Some(written) => written,
            None => self.written.insert(Written {
                file: BufWriter::new(tempfile::tempfile()?),
                ends: Vec::new(),
            }),
        };
        self.piece.sort();
        let mut length = written.ends.last().copied().unwrap_or(0);
        for &start in &self.piece.starts {
            let record = self.piece.record(start);
            written.file.write_all(record)?;
            length += record.len() as u64;
        }
        written.ends.push(length);
        self.piece = Piece::default();
        Ok(())
    }

    fn finish(mut self, kept: &MemoryBudget) -> Result<Listing> {
        let mut memory = kept.share();
        let sorted = if self.written.is_none() && memory.hold(self.piece.memory()).is_ok() {
            self.piece.sort();
            Sorted::InMemory {
                piece: self.piece,
                next: 0,
                _memory: memory,
            }
        } else {
            let merged = self.merge().with_context(|| {
                let place = std::env::temp_dir();
                format!("sort a directory's names in {}", place.display())
            })?;
            Sorted::InFile(merged)
        };
        Ok(Listing { sorted, last: None })
    }

    /// One file of all pieces.
    fn merge(mut self) -> io::Result<BufReader<File>> {
        self.write_piece()?;
        let Some(Written { file, ends }) = self.written else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = file.into_inner()?;
        let mut merged = if let [_] = ends[..] {
            file
        } else {
            let mut merged = BufWriter::new(tempfile::tempfile()?);
            merge(&file, &ends, &mut merged)?;
            merged.into_inner()?
        };
        merged.rewind()?;
        Ok(BufReader::with_capacity(READ_BUFFER, merged))
    }
}

/// What each list in a file is read by: there can be one for every directory on the way down.
const READ_BUFFER: usize = 4 << 10;

/// Writes sorted pieces of `file` as one.
fn merge(file: &File, ends: &[u64], merged: &mut impl Write) -> io::Result<()> {
    let buffer = (MERGE_BUFFERS / ends.len()).clamp(512, 64 << 10);
    let starts = [0].into_iter().chain(ends.iter().copied());
    let mut pieces: Vec<_> = starts
        .zip(ends)
        .map(|(position, &end)| {
            let part = Part {
                file,
                position,
                end,
            };
            BufReader::with_capacity(buffer, part)
        })
        .collect();
    let mut first = BinaryHeap::new();
    for (number, piece) in pieces.iter_mut().enumerate() {
        if let Some(name) = read_record(piece)? {
            first.push(Reverse((name, number)));
        }
    }
    while let Some(Reverse((name, number))) = first.pop() {
        merged.write_all(&length(name.len()))?;
        merged.write_all(&name)?;
        if let Some(name) = read_record(&mut pieces[number])? {
            first.push(Reverse((name, number)));
        }
    }
    Ok(())
}

/// Names in memory, one behind the other, each behind its length in two bytes: 255 (`NAME_MAX`) and a
/// mark.
#[derive(Debug, Default)]
struct Piece {
    records: Vec<u8>,
    /// Where each name's record begins.
    starts: Vec<u32>,
}

impl Piece {
    fn add(&mut self, parts: &[&[u8]]) {
        let start = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.starts.push(start);
        let all: usize = parts.iter().map(|part| part.len()).sum();
        self.records.extend(length(all));
        for part in parts {
            self.records.extend_from_slice(part);
        }
    }

    /// The record that begins there.
    fn record(&self, start: u32) -> &[u8] {
        let rest = &self.records[start as usize..];
        let length = rest
            .first_chunk()
            .map_or(0, |&bytes| u16::from_le_bytes(bytes));
        &rest[..2 + usize::from(length)]
    }

    fn sort(&mut self) {
        let mut starts = std::mem::take(&mut self.starts);
        starts.sort_unstable_by(|&one, &other| self.record(one)[2..].cmp(&self.record(other)[2..]));
        self.starts = starts;
    }

    fn memory(&self) -> usize {
        self.records.capacity() + self.starts.capacity() * size_of::<u32>()
    }
}

fn length(name: usize) -> [u8; 2] {
    u16::try_from(name).unwrap_or(u16::MAX).to_le_bytes()
}

/// Sorted names, some of them maybe twice.
#[derive(Debug)]
enum Sorted {
    InMemory {
        piece: Piece,
        next: usize,
        _memory: MemoryShare,
    },
    InFile(BufReader<File>),
}

impl Sorted {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Sorted::InMemory { piece, next, .. } => {
                let name = piece.starts.get(*next);
                *next += 1;
                Ok(name.map(|&start| piece.record(start)[2..].to_vec()))
            }
            Sorted::InFile(file) => read_record(file),
        }
    }
}

/// The next name of a file or a part of one; nothing at its end.
fn read_record(source: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    if source.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut length = [0; 2];
    source.read_exact(&mut length)?;
    let mut name = vec![0; usize::from(u16::from_le_bytes(length))];
    source.read_exact(&mut name)?;
    Ok(Some(name))
}

/// A part of a file.
struct Part<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..length], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in the order of a list that sorts so much at once and keeps so much.
    fn sorted(names: &[Vec<u8>], piece: usize, kept: usize) -> Vec<Vec<u8>> {
        let mut sorter = Sorter::new(piece);
        for name in names {
            sorter.add(&[name]).unwrap();
        }
        let listing = sorter.finish(&MemoryBudget::new(kept)).unwrap();
        listing.map(Result::unwrap).collect()
    }

    #[test]
    fn names_are_sorted_wherever_they_wait() {
        let name = |number: u32| {
            let number = number.wrapping_mul(0x9e37_79b9) % 5000;
            format!("{number}{}", "x".repeat(number as usize % 250)).into_bytes()
        };
        let names: Vec<Vec<u8>> = (0..6000).map(name).collect();
        let mut expected = names.clone();
        expected.sort();
        expected.dedup();
        assert!(expected.len() > 2000 && expected.len() < names.len());
        for (piece, kept) in [
            (usize::MAX, usize::MAX),
            (usize::MAX, 100),
            (100_000, usize::MAX),
            (20_000, 0),
            (1, 0),
        ] {
            let what = if names.len() > 100 && piece == 1 {
                200
            } else {
                names.len()
            };
            let mut expected = names[..what].to_vec();
            expected.sort();
            expected.dedup();
            assert!(
                sorted(&names[..what], piece, kept) == expected,
                "{piece} {kept}"
            );
        }
        assert!(sorted(&[], PIECE, 0).is_empty());
    }

    #[test]
    fn a_directory_gives_files_first() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a", "c"] {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        std::fs::write(place.path().join("b"), "").unwrap();
        let directory = || Directory::root(File::open(place.path()).unwrap().into());
        let names: Vec<_> = Listing::of([&directory(), &directory()])
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(names, [b"a", b"b", b"c"]);
        let files_first: Vec<_> = FilesFirst::of(&directory())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let expected = [("b", false), ("a", true), ("c", true)];
        assert_eq!(
            files_first,
            expected.map(|(name, is_directory)| (name.as_bytes().to_vec(), is_directory))
        );
    }
}
