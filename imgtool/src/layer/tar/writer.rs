//! Writes tar archives that every reader reads the same: plain ustar, with a PAX header before an
//! entry only for what ustar has no room for. The same entries always give the same bytes.

use std::io::{self, Write};

use super::entry::{Entry, EntryKind, Timestamp};
use super::header::BLOCK;
use crate::layer::path::ImagePath;

/// Eleven octal digits.
const LARGEST_SIZE: u64 = 0o77_777_777_777;
/// Seven octal digits.
const LARGEST_ID: u32 = 0o7_777_777;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Writes entries one after the other.
#[derive(Debug)]
pub struct TarWriter<W> {
    sink: W,
    /// Data bytes that the current entry still lacks.
    missing: u64,
    /// Bytes that fill its last block.
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    /// Writes to `sink`.
    pub fn new(sink: W) -> Self {
        TarWriter {
            sink,
            missing: 0,
            padding: 0,
        }
    }

    /// Begins an entry, whose data, `entry.size` bytes, is to follow. Access times are left out:
    /// reading a tree changes them.
    pub fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        self.end_entry()?;
        let records = pax_records(entry);
        if !records.is_empty() {
            self.sink.write_all(&pax_header(entry, records.len()))?;
            self.sink.write_all(&records)?;
            self.sink
                .write_all(&ZEROS[..padding(records.len() as u64)])?;
        }
        self.sink.write_all(&header(entry))?;
        self.missing = entry.size;
        self.padding = padding(entry.size);
        Ok(())
    }

    /// Writes some of the entry's data.
    pub fn data(&mut self, data: &[u8]) -> io::Result<()> {
        self.missing = self
            .missing
            .checked_sub(data.len() as u64)
            .ok_or_else(|| io::Error::other("more data than the entry's size says"))?;
        self.sink.write_all(data)
    }

    /// Writes so many zeros of the entry's data: a hole.
    pub fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        static MANY: [u8; 64 << 10] = [0; 64 << 10];
        while count > 0 {
            let length = usize::try_from(count).unwrap_or(usize::MAX).min(MANY.len());
            self.data(&MANY[..length])?;
            count -= length as u64;
        }
        Ok(())
    }

    /// Ends the archive; returns the sink.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_entry()?;
        self.sink.write_all(&ZEROS)?;
        self.sink.write_all(&ZEROS)?;
        Ok(self.sink)
    }

    fn end_entry(&mut self) -> io::Result<()> {
        if self.missing > 0 {
            return Err(io::Error::other("less data than the entry's size says"));
        }
        self.sink
            .write_all(&ZEROS[..std::mem::take(&mut self.padding)])
    }
}

fn padding(size: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from(size.next_multiple_of(block) - size).unwrap_or(0)
}

fn name_of(path: &ImagePath, kind: &EntryKind) -> Vec<u8> {
    let mut name = path.as_bytes().to_vec();
    if path.is_root() {
        name.push(b'.');
    }
    // Not needed since POSIX, but some look for it.
    if *kind == EntryKind::Directory {
        name.push(b'/');
    }
    name
}

fn link_of(kind: &EntryKind) -> &[u8] {
    match kind {
        EntryKind::HardLink(target) => target.as_bytes(),
        EntryKind::Symlink(target) => target,
        _ => b"",
    }
}

/// The name as ustar's prefix and name, if it has room.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // The last slash that leaves few enough bytes before it, and none at the very end.
    let slash = name[..name.len().min(156)]
        .iter()
        .rposition(|&byte| byte == b'/')?;
    let (prefix, name) = (&name[..slash], &name[slash + 1..]);
    // star(1) thinks of prefixes of 131 bytes and more differently.
    (!name.is_empty() && name.len() <= 100 && prefix.len() < 131).then_some((prefix, name))
}

fn header(entry: &Entry) -> [u8; BLOCK] {
    let name = name_of(&entry.path, &entry.kind);
    // Where PAX has the name, older readers get its beginning.
    let (prefix, name) = split_name(&name).unwrap_or((b"", &name[..name.len().min(100)]));
    let link = link_of(&entry.kind);
    let (kind, device) = match &entry.kind {
        EntryKind::File => (b'0', (0, 0)),
        EntryKind::HardLink(_) => (b'1', (0, 0)),
        EntryKind::Symlink(_) => (b'2', (0, 0)),
        EntryKind::CharDevice(major, minor) => (b'3', (*major, *minor)),
        EntryKind::BlockDevice(major, minor) => (b'4', (*major, *minor)),
        EntryKind::Directory => (b'5', (0, 0)),
        EntryKind::Fifo => (b'6', (0, 0)),
    };
    let id = |id: u32| if id > LARGEST_ID { 0 } else { u64::from(id) };
    let size = if entry.size > LARGEST_SIZE {
        0
    } else {
        entry.size
    };
    let seconds = u64::try_from(entry.mtime.seconds).unwrap_or(0);
    let mtime = if seconds > LARGEST_SIZE { 0 } else { seconds };
    let mut block = [0; BLOCK];
    put(&mut block, 0, name);
    octal(&mut block[100..108], u64::from(entry.mode & 0o7777));
    octal(&mut block[108..116], id(entry.uid));
    octal(&mut block[116..124], id(entry.gid));
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], mtime);
    block[156] = kind;
    put(&mut block, 157, &link[..link.len().min(100)]);
    put(&mut block, 257, b"ustar\x0000");
    octal(&mut block[329..337], u64::from(device.0));
    octal(&mut block[337..345], u64::from(device.1));
    put(&mut block, 345, prefix);
    set_checksum(&mut block);
    block
}

/// The header of the PAX records. Its name is what a reader that doesn't know PAX makes a file of.
fn pax_header(entry: &Entry, length: usize) -> [u8; BLOCK] {
    let path = entry.path.as_bytes();
    let last = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let name = [b"PaxHeaders/", &last[..last.len().min(80)]].concat();
    let mut block = [0; BLOCK];
    put(&mut block, 0, &name);
    octal(&mut block[100..108], 0o644);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], length as u64);
    octal(&mut block[136..148], 0);
    block[156] = b'x';
    put(&mut block, 257, b"ustar\x0000");
    octal(&mut block[329..337], 0);
    octal(&mut block[337..345], 0);
    set_checksum(&mut block);
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Octal digits and a NUL.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

fn set_checksum(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    // Six digits, a NUL and a space, as ever.
    octal(&mut block[148..155], sum);
}

/// What the header has no room for, in the order of the keys.
fn pax_records(entry: &Entry) -> Vec<u8> {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| records.push((key.to_vec(), value.to_vec()));
    let name = name_of(&entry.path, &entry.kind);
    if split_name(&name).is_none() {
        add(b"path", &name);
    }
    let link = link_of(&entry.kind);
    if link.len() > 100 {
        add(b"linkpath", link);
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > LARGEST_ID {
            add(key, id.to_string().as_bytes());
        }
    }
    if entry.size > LARGEST_SIZE {
        add(b"size", entry.size.to_string().as_bytes());
    }
    let time = entry.mtime;
    let fits = u64::try_from(time.seconds).is_ok_and(|seconds| seconds <= LARGEST_SIZE);
    if time.nanoseconds != 0 || !fits {
        add(b"mtime", decimal(time).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    records.sort();
    records
        .iter()
        .flat_map(|(key, value)| record(key, value))
        .collect()
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    [format!("{length} ").as_bytes(), key, b"=", value, b"\n"].concat()
}

/// Seconds with as many decimals as it takes.
fn decimal(time: Timestamp) -> String {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let positive = nanoseconds.unsigned_abs();
    let (seconds, fraction) = (positive / 1_000_000_000, positive % 1_000_000_000);
    if fraction == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{fraction:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::reader::{TarLimits, TarReader};
    use super::*;

    fn entry(name: &[u8], kind: EntryKind) -> Entry {
        Entry {
            path: ImagePath::parse(name).unwrap(),
            kind,
            size: 0,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            atime: None,
            xattrs: Vec::new(),
        }
    }

    fn read_back(entry: &Entry, data: &[u8]) -> (Entry, usize) {
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(entry).unwrap();
        writer.data(data).unwrap();
        let archive = writer.finish().unwrap();
        let mut reader = TarReader::new(&archive[..], TarLimits::default());
        let read = reader.next_entry().unwrap().unwrap();
        assert!(reader.next_entry().unwrap().is_none());
        (read, archive.len())
    }

    #[test]
    fn what_fits_needs_no_pax() {
        let prefix = [b'd'; 120];
        for name in [
            &b"short"[..],
            &[b'n'; 100],
            &[&prefix[..], b"/", &[b'n'; 99]].concat(),
            b".",
        ] {
            let mut entry = entry(name, EntryKind::Directory);
            if name.len() >= 100 {
                entry.kind = EntryKind::File;
            }
            entry.mtime.seconds = 1_700_000_000;
            let (read, length) = read_back(&entry, b"");
            assert_eq!(read, entry);
            assert_eq!(length, 3 * BLOCK);
        }
    }

    #[test]
    fn what_does_not_fit_is_kept_by_pax() {
        let long = [&[b'd'; 200][..], b"/", &[0xff; 200]].concat();
        let mut strange = entry(&long, EntryKind::Symlink(vec![b't'; 300]));
        strange.uid = 4_000_000_000;
        strange.gid = 0o10_000_000;
        strange.mtime = Timestamp {
            seconds: -2,
            nanoseconds: 500_000_000,
        };
        strange.xattrs = vec![
            (b"security.capability".to_vec(), b"\x01\0\0\x02".to_vec()),
            (b"user.a".to_vec(), b"\n=".to_vec()),
        ];
        assert_eq!(read_back(&strange, b"").0, strange);
        for kind in [
            EntryKind::HardLink(ImagePath::parse(&[b'h'; 150]).unwrap()),
            EntryKind::Fifo,
            EntryKind::CharDevice(4095, (1 << 20) - 1),
            EntryKind::BlockDevice(7, 0),
        ] {
            let entry = entry(b"x", kind);
            assert_eq!(read_back(&entry, b"").0, entry);
        }
    }

    #[test]
    fn names_of_every_length_come_back() {
        for length in 90..260 {
            for slash in [0, 50, 100, 130, 131, 155, 156, 200] {
                let mut name = vec![b'n'; length];
                if slash > 0 && slash < length - 1 {
                    name[slash] = b'/';
                }
                if ImagePath::parse(&name).is_err() {
                    continue;
                }
                for kind in [EntryKind::File, EntryKind::Directory] {
                    let entry = entry(&name, kind);
                    assert_eq!(read_back(&entry, b"").0, entry, "{length} {slash}");
                }
            }
        }
    }

    #[test]
    fn record_lengths_count_their_own_digits() {
        for length in (0..120).chain(980..1010) {
            let record = record(b"key", &vec![b'v'; length]);
            let text = String::from_utf8(record.clone()).unwrap();
            let number: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(number, record.len());
        }
    }

    #[test]
    fn sizes_have_to_be_kept() {
        let mut file = entry(b"f", EntryKind::File);
        file.size = 3;
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(&file).unwrap();
        assert!(writer.data(b"four").is_err());
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(&file).unwrap();
        assert!(writer.finish().is_err());
    }
}
