//! Zstandard (RFC 8878), frame by frame: what a frame asks for is known before it gets any memory.

use std::io::{self, BufRead, Read};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use crate::memory_budget::{MemoryBudget, MemoryShare};

/// Undoes the compression of one frame or many, skippable ones included.
pub(super) struct ZstdReader<R> {
    source: R,
    decoder: Decoder<'static>,
    memory: MemoryShare,
    /// What was read of a frame to know its size, as far as the decoder hasn't had it.
    start: Vec<u8>,
    in_frame: bool,
}

/// The largest window of which libzstd can be asked, 2 GiB: the budget is what bounds it.
const WINDOW_LOG_MAX: u32 = 31;

impl<R: BufRead> ZstdReader<R> {
    pub(super) fn new(source: R, memory: &MemoryBudget) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(ZstdReader {
            source,
            decoder,
            memory: memory.share(),
            start: Vec::new(),
            in_frame: false,
        })
    }

    /// Looks at the next frame; false if there is none.
    fn begin_frame(&mut self) -> io::Result<bool> {
        if self.source.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.decoder.reinit()?;
        self.in_frame = true;
        self.read_start(FrameHeader::SHORTEST)?;
        let Some(length) = FrameHeader::length(&self.start) else {
            // A skippable frame takes none; what else begins otherwise libzstd refuses.
            return Ok(true);
        };
        self.read_start(length)?;
        let header = FrameHeader::parse(&self.start);
        self.memory
            .hold_at_least(header.memory())
            .map_err(|error| {
                let window = header.window >> 20;
                let message = format!(
                    "its zstd window is {window} MiB, and {error}; or compress the layer anew, \
                 without --long or --ultra"
                );
                io::Error::other(message)
            })?;
        Ok(true)
    }

    /// Reads on until `start` has so many bytes, or the source has no more.
    fn read_start(&mut self, length: usize) -> io::Result<()> {
        let missing = length.saturating_sub(self.start.len()) as u64;
        let source = &mut self.source;
        source.take(missing).read_to_end(&mut self.start)?;
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() && (self.in_frame || self.begin_frame()?) {
            let mut output = OutBuffer::around(&mut *buffer);
            let from_start = !self.start.is_empty();
            let available = if from_start {
                &self.start[..]
            } else {
                self.source.fill_buf()?
            };
            let at_end = available.is_empty();
            let mut input = InBuffer::around(available);
            let rest_of_frame = self.decoder.run(&mut input, &mut output)?;
            let consumed = input.pos();
            if from_start {
                self.start.drain(..consumed);
            } else {
                self.source.consume(consumed);
            }
            self.in_frame = rest_of_frame != 0;
            match output.pos() {
                0 if at_end && self.in_frame => {
                    let message = "it ends in the middle of a zstd frame";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                0 => {}
                count => return Ok(count),
            }
        }
        Ok(0)
    }
}

/// What a frame says of its size (RFC 8878, 3.1.1.1).
struct FrameHeader {
    window: u64,
    content: Option<u64>,
}

impl FrameHeader {
    /// The magic number and the descriptor, which tells the header's length.
    const SHORTEST: usize = 5;

    /// How many bytes a frame's header has; none if these are no such frame's first ones.
    fn length(start: &[u8]) -> Option<usize> {
        let descriptor = *start.strip_prefix(b"\x28\xb5\x2f\xfd")?.first()?;
        let window = usize::from(!is_single_segment(descriptor));
        let dictionary = dictionary_length(descriptor);
        Some(Self::SHORTEST + window + dictionary + content_length(descriptor))
    }

    /// Reads a header. Where bytes are missing nothing can be decoded: then it doesn't matter what it says.
    fn parse(header: &[u8]) -> Self {
        let byte = |at: usize| header.get(at).copied().unwrap_or(0);
        let descriptor = byte(4);
        let single_segment = is_single_segment(descriptor);
        let content_at =
            Self::SHORTEST + usize::from(!single_segment) + dictionary_length(descriptor);
        let content_length = content_length(descriptor);
        let number = (0..content_length).rev().fold(0, |number, index| {
            number << 8 | u64::from(byte(content_at + index))
        });
        let content = match content_length {
            0 => None,
            2 => Some(number + 256),
            _ => Some(number),
        };
        let window = match content {
            Some(content) if single_segment => content,
            _ => {
                let base = 1 << (10 + (byte(Self::SHORTEST) >> 3));
                base + base / 8 * u64::from(byte(Self::SHORTEST) & 7)
            }
        };
        FrameHeader { window, content }
    }

    /// How much libzstd takes to decode the frame (`ZSTD_decodingBufferSize_internal`,
    /// `ZSTD_estimateDStreamSize`): the window with two blocks, or all of the content if that is less, a
    /// block of input, and its tables.
    fn memory(&self) -> usize {
        const BLOCK: u64 = 128 << 10;
        const TABLES: u64 = 160 << 10;
        let block = self.window.min(BLOCK);
        let buffer = self.window.saturating_add(2 * block + 64);
        let buffer = self.content.map_or(buffer, |content| content.min(buffer));
        usize::try_from(buffer.saturating_add(block + TABLES)).unwrap_or(usize::MAX)
    }
}

fn is_single_segment(descriptor: u8) -> bool {
    descriptor & 0x20 != 0
}

fn dictionary_length(descriptor: u8) -> usize {
    [0, 1, 2, 4][usize::from(descriptor & 3)]
}

fn content_length(descriptor: u8) -> usize {
    match descriptor >> 6 {
        0 => usize::from(is_single_segment(descriptor)),
        power => 1 << power,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn frame(content: &[u8], window: u32, sized: bool) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window).unwrap();
        if sized {
            encoder
                .set_pledged_src_size(Some(content.len() as u64))
                .unwrap();
        }
        encoder.write_all(content).unwrap();
        if !sized {
            // Otherwise libzstd knows the size of what comes all at once.
            encoder.flush().unwrap();
        }
        encoder.finish().unwrap()
    }

    fn decoded(frames: &[u8], memory: usize, buffer: usize) -> io::Result<Vec<u8>> {
        let source = BufReader::with_capacity(buffer, frames);
        let mut reader = ZstdReader::new(source, &MemoryBudget::new(memory))?;
        let mut content = Vec::new();
        let mut piece = vec![0; buffer * 3];
        loop {
            match reader.read(&mut piece)? {
                0 => return Ok(content),
                count => content.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn contents() -> [Vec<u8>; 5] {
        let noise = (0..400_000_u64).map(|number| ((number * number) >> 7).to_le_bytes()[0]);
        let noise: Vec<u8> = noise.collect();
        [0, 1, 300, 70_000, 400_000].map(|length| noise[..length].to_vec())
    }

    #[test]
    fn frames_are_read_one_after_another() {
        let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        let mut frames = skippable.to_vec();
        let mut all: Vec<u8> = Vec::new();
        for content in contents() {
            for sized in [false, true] {
                frames.extend(frame(&content, 20, sized));
                frames.extend(skippable);
                all.extend(&content);
            }
        }
        for buffer in [1, 7, 64 << 10] {
            assert!(
                decoded(&frames, 8 << 20, buffer).unwrap() == all,
                "{buffer}"
            );
        }
        let cut = decoded(&frames[..frames.len() - 20], 8 << 20, 4096).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
        let garbage = [&frames[..], b"garbage!"].concat();
        decoded(&garbage, 8 << 20, 4096).unwrap_err();
    }

    #[test]
    fn headers_say_the_window_and_the_size() {
        for content in contents() {
            let length = content.len() as u64;
            if length > 0 {
                let header = FrameHeader::parse(&frame(&content, 22, false));
                assert_eq!((header.window, header.content), (4 << 20, None));
            }
            let sized = frame(&content, 22, true);
            let header = FrameHeader::parse(&sized);
            assert_eq!(header.content, Some(length));
            assert!(header.memory() as u64 <= length + (300 << 10), "{length}");
        }
        // 2^(10+4) and 5 eighths.
        let header = FrameHeader::parse(b"\x28\xb5\x2f\xfd\0\x25");
        assert_eq!(header.window, 16384 + 5 * 2048);
        // The largest that can be written, and a content of 2^64-1 bytes in one segment.
        let header = FrameHeader::parse(b"\x28\xb5\x2f\xfd\0\xff");
        assert_eq!(header.window, (1 << 41) + 7 * (1 << 38));
        let header = FrameHeader::parse(b"\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(header.window, u64::MAX);
        assert!(header.memory() > usize::MAX / 2);
    }

    #[test]
    fn a_window_is_taken_of_the_budget() {
        let [.., content] = contents();
        let large = frame(&content, 25, false);
        assert!(decoded(&large, 33 << 20, 4096).unwrap() == content);
        // A frame of a small window before it changes nothing.
        let small = frame(&content, 17, false);
        for frames in [large.clone(), [small, large].concat()] {
            let error = decoded(&frames, 32 << 20, 4096).unwrap_err().to_string();
            assert!(error.contains("its zstd window is 32 MiB"), "{error}");
            assert!(error.contains("--max-memory"), "{error}");
        }
        // What is smaller than its window takes no more than it has.
        assert!(decoded(&frame(&content, 25, true), 1 << 20, 4096).unwrap() == content);
    }
}
