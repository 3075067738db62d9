//! A stream of bytes that both ends know: none of them can be lost, doubled or changed unseen.

use std::io::{self, Read, Write};

/// Of standard output and standard error.
pub const STREAMS: [u64; 2] = [1, 2];

/// How many bytes are made at once.
const BLOCK: usize = 64 * 1024;

/// The bytes: printable ones, and now and then the end of a line, so that they are text for a log and
/// pass a terminal, which adds nothing but carriage returns.
#[derive(Debug, Clone)]
pub struct Pattern(u64);

impl Pattern {
    /// That of a stream, the same at both ends.
    pub fn of(stream: u64) -> Self {
        Pattern(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next bytes; the length of `bytes` is a multiple of 8.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_exact_mut(8) {
            // xorshift64
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes());
            for byte in chunk {
                *byte = match *byte {
                    0 => b'\n',
                    byte => b'!' + byte % 94,
                };
            }
        }
    }
}

/// Writes `length` bytes of the pattern of a stream.
pub fn write(stream: u64, mut length: usize, to: &mut impl Write) -> io::Result<()> {
    let mut pattern = Pattern::of(stream);
    let mut block = vec![0; BLOCK];
    while length > 0 {
        let size = length.min(BLOCK);
        pattern.fill(&mut block);
        to.write_all(&block[..size])?;
        length -= size;
    }
    Ok(())
}

/// Compares what arrives with the pattern.
#[derive(Debug)]
pub struct Received {
    pattern: Pattern,
    block: Vec<u8>,
    used: usize,
    /// How many bytes have arrived, those of `wrong_from` included.
    pub bytes: u64,
    /// The first byte that is not the pattern's.
    pub wrong_from: Option<u64>,
    /// Carriage returns are a terminal's, and don't count.
    terminal: bool,
}

impl Received {
    /// Nothing yet, of that stream.
    pub fn nothing(stream: u64, terminal: bool) -> Self {
        Received {
            pattern: Pattern::of(stream),
            block: vec![0; BLOCK],
            used: BLOCK,
            bytes: 0,
            wrong_from: None,
            terminal,
        }
    }

    /// Takes the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        if self.terminal && bytes.contains(&b'\r') {
            let bytes: Vec<u8> = bytes
                .iter()
                .copied()
                .filter(|byte| *byte != b'\r')
                .collect();
            self.compare(&bytes);
        } else {
            self.compare(bytes);
        }
    }

    fn compare(&mut self, mut bytes: &[u8]) {
        if self.wrong_from.is_some() {
            self.bytes += bytes.len() as u64;
            return;
        }
        while !bytes.is_empty() {
            if self.used == BLOCK {
                self.pattern.fill(&mut self.block);
                self.used = 0;
            }
            let size = bytes.len().min(BLOCK - self.used);
            let (now, later) = bytes.split_at(size);
            let expected = &self.block[self.used..self.used + size];
            if self.wrong_from.is_none() && now != expected {
                let equal = now.iter().zip(expected).take_while(|(a, b)| a == b).count();
                self.wrong_from = Some(self.bytes + equal as u64);
            }
            self.bytes += size as u64;
            self.used += size;
            bytes = later;
        }
    }

    /// Takes everything up to the end of file.
    pub fn take_all(&mut self, from: &mut impl Read) -> io::Result<()> {
        let mut buffer = vec![0; BLOCK];
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(()),
                size => self.take(&buffer[..size]),
            }
        }
    }

    /// How many of `expected` bytes did not arrive as they were written.
    pub fn lost(&self, expected: u64) -> u64 {
        match self.wrong_from {
            Some(good) => expected.saturating_sub(good).max(1),
            None => expected.abs_diff(self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Received, write};

    fn written(length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(1, length, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_arrives_whole_is_not_lost() {
        let mut received = Received::nothing(1, false);
        for piece in written(300_001).chunks(1_777) {
            received.take(piece);
        }
        assert_eq!(received.lost(300_001), 0);
        assert_eq!(received.lost(300_002), 1);
    }

    #[test]
    fn a_missing_byte_in_the_middle_is_seen() {
        let mut bytes = written(200_000);
        bytes.remove(100_000);
        let mut received = Received::nothing(1, false);
        received.take(&bytes);
        assert!(received.wrong_from.is_some_and(|at| at >= 100_000));
        assert!(received.lost(200_000) > 0);
    }

    #[test]
    fn carriage_returns_are_the_terminals() {
        let text = String::from_utf8(written(10_000)).unwrap();
        assert!(text.contains('\n'));
        let mut received = Received::nothing(1, true);
        received.take(text.replace('\n', "\r\n").as_bytes());
        assert_eq!(received.lost(10_000), 0);
    }
}
