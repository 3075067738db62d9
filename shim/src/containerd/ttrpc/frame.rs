//! Frames: ten bytes that say what follows, and what follows.

/// The longest message that a frame may hold, in bytes; both sides refuse longer ones.
pub const MESSAGE_LIMIT: usize = 4 << 20;
/// How many bytes go before a message.
pub const HEADER_LENGTH: usize = 10;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The beginning of a call: `ttrpc.Request`.
    Request,
    /// The end of one: `ttrpc.Response`.
    Response,
    /// More of a streaming call.
    Data,
    /// What a later version of the protocol may bring; to be ignored.
    Other(u8),
}

/// The bytes before a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The message's length in bytes.
    pub length: usize,
    /// Which call it belongs to: odd numbers, counted up by the client.
    pub stream: u32,
    /// What it is.
    pub kind: Kind,
}

impl Header {
    /// The header at the beginning of `bytes`; `None` if not all of it is there yet.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let bytes: &[u8; HEADER_LENGTH] = bytes.first_chunk()?;
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind, _flags] = *bytes;
        // On a machine whose addresses are shorter than the number: longer than the limit, too.
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        Some(Header {
            length,
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            kind: match kind {
                1 => Kind::Request,
                2 => Kind::Response,
                3 => Kind::Data,
                other => Kind::Other(other),
            },
        })
    }
}

/// Appends one frame to `output`. `message` must not be longer than [`MESSAGE_LIMIT`].
pub fn append(output: &mut Vec<u8>, stream: u32, kind: Kind, message: &[u8]) {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    output.reserve(HEADER_LENGTH + message.len());
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(&stream.to_be_bytes());
    output.push(match kind {
        Kind::Request => 1,
        Kind::Response => 2,
        Kind::Data => 3,
        Kind::Other(other) => other,
    });
    // Flags: a call with none is unary, and an answer has none.
    output.push(0);
    output.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        append(&mut bytes, 0x0102_0303, Kind::Request, b"abc");
        assert_eq!(bytes, b"\0\0\0\x03\x01\x02\x03\x03\x01\0abc");
        let header = Header::parse(&bytes);
        assert_eq!(
            header,
            Some(Header {
                length: 3,
                stream: 0x0102_0303,
                kind: Kind::Request
            })
        );
        assert_eq!(Header::parse(&bytes[..9]), None);
    }
}
