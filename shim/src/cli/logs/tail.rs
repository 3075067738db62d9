//! Where the last lines of a log begin.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::Result;

use super::files::{LogFile, open_all};
use super::record::Record;

/// The files of the log at `path` from which the last `lines` lines come, each at the record where it
/// is to be read from.
pub(super) fn open_tail(path: &Path, lines: usize) -> Result<Vec<LogFile>> {
    let mut files = open_all(path)?;
    let mut starts = Vec::new();
    let mut missing = lines;
    // Those that can be needed are read twice: what comes through gzip can't be gone back in.
    for file in open_all(path)?.iter_mut().rev() {
        let (start, found) = start_of_tail(file, missing)?;
        starts.push(start);
        missing -= found;
        if missing == 0 {
            break;
        }
    }
    // One may have been rotated between the two looks; then a file more or less is read.
    let first = files.len().saturating_sub(starts.len());
    files.drain(..first);
    for (file, start) in files.iter_mut().rev().zip(starts) {
        file.skip(start)?;
    }
    Ok(files)
}

/// The offset of the record where the last `lines` lines begin, and how many lines follow.
fn start_of_tail(file: &mut LogFile, lines: usize) -> Result<(u64, usize)> {
    let mut starts: VecDeque<u64> = VecDeque::new();
    let mut open: [Option<u64>; 2] = [None; 2];
    let (mut offset, mut record) = (0, Vec::new());
    let mut push = |start: u64| {
        starts.push_back(start);
        if starts.len() > lines {
            starts.pop_front();
        }
    };
    loop {
        record.clear();
        file.read_record(&mut record)?;
        if record.last() != Some(&b'\n') {
            break;
        }
        if let Ok(record) = Record::parse(&record) {
            let begun = &mut open[record.source as usize];
            let start = begun.take().unwrap_or(offset);
            if record.full {
                push(start);
            } else {
                *begun = Some(start);
            }
        }
        offset += record.len() as u64;
    }
    open.sort_unstable();
    open.into_iter().flatten().for_each(&mut push);
    let first = starts.iter().min().copied();
    Ok((first.unwrap_or(offset), starts.len()))
}
