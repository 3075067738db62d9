//! The bytes of rtnetlink's messages: a header, a fixed body, and attributes, each of these aligned
//! to four bytes and in the byte order of the machine (netlink(7), rtnetlink(7)).

/// Requests ask for an acknowledgement, which ends the answer.
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
/// All objects, not one.
pub(super) const NLM_F_DUMP: u16 = 0x300;
/// Make it, and don't take one that is there.
pub(super) const NLM_F_CREATE_EXCL: u16 = 0x600;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

/// A message to the kernel.
pub(super) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A request of this kind (`RTM_*`), with its fixed body.
    pub(super) fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let flags = if flags & NLM_F_DUMP == NLM_F_DUMP {
            flags | NLM_F_REQUEST
        } else {
            flags | NLM_F_REQUEST | NLM_F_ACK
        };
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        Request { bytes }
    }

    /// Adds an attribute.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Adds an attribute that is a NUL-terminated string.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    pub(super) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A message from the kernel.
#[derive(Debug)]
pub(super) struct Message<'p> {
    kind: u16,
    pub(super) sequence: u32,
    body: &'p [u8],
}

impl<'p> Message<'p> {
    /// The errno with which the answer ends, 0 for success; none when this is not its end.
    pub(super) fn outcome(&self) -> Option<i32> {
        // Both begin with the errno, negative; for NLMSG_DONE it is that of the dump.
        matches!(self.kind, NLMSG_ERROR | NLMSG_DONE)
            .then(|| word(self.body).map_or(0, |errno| errno.cast_signed().wrapping_neg()))
    }

    /// The fixed body, `N` bytes, and the attributes behind it.
    pub(super) fn split<const N: usize>(&self) -> Option<(&'p [u8; N], Attributes<'p>)> {
        let (fixed, rest) = self.body.split_first_chunk::<N>()?;
        Some((fixed, Attributes(rest)))
    }
}

/// The messages of one packet.
pub(super) fn messages(mut packet: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = word(packet)? as usize;
        let body = packet.get(HEADER..length)?;
        let message = Message {
            kind: u16::from_ne_bytes(packet[4..6].try_into().ok()?),
            sequence: word(&packet[8..])?,
            body,
        };
        packet = packet.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in the rest of a message.
pub(super) struct Attributes<'p>(&'p [u8]);

impl<'p> Iterator for Attributes<'p> {
    type Item = (u16, &'p [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        /// The upper bits say how the value is to be read (`NLA_TYPE_MASK`).
        const KIND: u16 = 0x3fff;
        let [a, b, c, d] = *self.0.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & KIND, value))
    }
}

/// The number at the beginning.
pub(super) fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut request = Request::new(16, 0, &[9; 16]);
        request.text(3, "eth0");
        request.attribute(4, &1500_u32.to_ne_bytes());
        let mut packet = request.finish(7);
        packet.extend(Request::new(NLMSG_ERROR, 0, &(-17_i32).to_ne_bytes()).finish(7));
        let read: Vec<_> = messages(&packet).collect();
        assert_eq!((read.len(), read[0].sequence), (2, 7));
        let (body, attributes) = read[0].split::<16>().unwrap();
        assert_eq!(body, &[9; 16]);
        let attributes: Vec<_> = attributes.collect();
        assert_eq!(
            attributes,
            [(3, &b"eth0\0"[..]), (4, &1500_u32.to_ne_bytes())]
        );
        assert_eq!((read[0].outcome(), read[1].outcome()), (None, Some(17)));
    }

    #[test]
    fn nonsense_is_no_message() {
        for length in 0..20_u32 {
            let mut packet = vec![0xff; 18];
            packet[..4].copy_from_slice(&length.to_ne_bytes());
            for message in messages(&packet) {
                assert!(message.split::<16>().is_none());
                assert!(Attributes(message.body).next().is_none());
            }
        }
        assert!(Attributes(&[3, 0, 1, 0, 0, 0, 0, 0]).next().is_none());
    }
}
