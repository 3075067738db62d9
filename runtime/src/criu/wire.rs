//! The wire format of Protocol Buffers (protobuf.dev, "Encoding"), as far as CRIU's messages use
//! it: variable-length integers, and texts and messages with their length in front.

use crate::error::{Error, Result};

/// A value is a variable-length integer.
const VARINT: u64 = 0;
/// A value is eight bytes; no field that we know is.
const EIGHT_BYTES: u64 = 1;
/// A value has its length in front.
const LENGTH_DELIMITED: u64 = 2;
/// A value is four bytes; no field that we know is.
const FOUR_BYTES: u64 = 5;

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Adds an integer. A negative one is written as 64 bits, as `int32` wants it.
    pub fn number(&mut self, field: u32, value: i64) {
        self.key(field, VARINT);
        self.varint(value.cast_unsigned());
    }

    /// Adds a `bool`.
    pub fn flag(&mut self, field: u32, value: bool) {
        self.number(field, value.into());
    }

    /// Adds a `string`.
    pub fn text(&mut self, field: u32, value: &str) {
        self.delimited(field, value.as_bytes());
    }

    /// Adds a message within this one.
    pub fn message(&mut self, field: u32, value: &Message) {
        self.delimited(field, &value.bytes);
    }

    /// What goes over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn delimited(&mut self, field: u32, value: &[u8]) {
        self.key(field, LENGTH_DELIMITED);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    fn key(&mut self, field: u32, kind: u64) {
        self.varint(u64::from(field) << 3 | kind);
    }

    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.bytes.push(low & 0x7f);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }
}

/// The value of a field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer, a `bool`, a member of an `enum`.
    Number(i64),
    /// A `string` or a message.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// As a `bool`.
    pub fn flag(self) -> bool {
        matches!(self, Value::Number(number) if number != 0)
    }

    /// As an `int32`.
    pub fn number(self) -> i32 {
        match self {
            Value::Number(number) => i32::try_from(number).unwrap_or(0),
            Value::Bytes(_) => 0,
        }
    }

    /// As the bytes of a text or a message.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            Value::Number(_) => &[],
        }
    }

    /// As a text, whatever it holds.
    pub fn text(self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// The fields of a message, in the order in which they came.
///
/// # Errors
/// When it ends in the middle of one, or holds what no message holds.
pub fn fields(mut message: &[u8]) -> Result<Vec<(u32, Value<'_>)>> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        let field = u32::try_from(key >> 3).map_err(|_| malformed())?;
        match key & 7 {
            VARINT => {
                let value = take_varint(&mut message)?;
                found.push((field, Value::Number(value.cast_signed())));
            }
            LENGTH_DELIMITED => {
                let length = take_varint(&mut message)?;
                let length = usize::try_from(length).map_err(|_| malformed())?;
                found.push((field, Value::Bytes(take(&mut message, length)?)));
            }
            EIGHT_BYTES => drop(take(&mut message, 8)?),
            FOUR_BYTES => drop(take(&mut message, 4)?),
            _ => return Err(malformed()),
        }
    }
    Ok(found)
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(length).ok_or_else(malformed)?;
    *message = rest;
    Ok(taken)
}

fn take_varint(message: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    // Ten groups of seven bits hold 64.
    for group in 0..10 {
        let byte = take(message, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed())
}

fn malformed() -> Error {
    Error::new("criu has sent what is no message of its protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        // The examples of protobuf.dev, "Encoding".
        let mut message = Message::default();
        message.number(1, 150);
        assert_eq!(message.as_bytes(), [0x08, 0x96, 0x01]);
        let mut text = Message::default();
        text.text(2, "testing");
        assert_eq!(text.as_bytes(), b"\x12\x07testing");
        let mut outer = Message::default();
        outer.message(3, &message);
        assert_eq!(outer.as_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let mut negative = Message::default();
        negative.number(1, -2);
        assert_eq!(negative.as_bytes()[..2], [0x08, 0xfe]);
        assert_eq!(negative.as_bytes().len(), 11);
    }

    #[test]
    fn what_is_written_is_read() {
        let mut inner = Message::default();
        inner.flag(1, true);
        let mut message = Message::default();
        message.number(1, -1);
        message.number(2000, i64::MAX);
        message.text(3, "");
        message.message(4, &inner);
        assert_eq!(
            fields(message.as_bytes()).unwrap(),
            [
                (1, Value::Number(-1)),
                (2000, Value::Number(i64::MAX)),
                (3, Value::Bytes(b"")),
                (4, Value::Bytes(&[0x08, 1])),
            ]
        );
    }

    #[test]
    fn unknown_fields_are_passed_over() {
        let fixed = [0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x15, 0, 0, 0, 0, 0x18, 7];
        assert_eq!(fields(&fixed).unwrap(), [(3, Value::Number(7))]);
    }

    #[test]
    fn what_is_cut_off_or_wrong_is_refused() {
        let mut message = Message::default();
        message.number(1, 300);
        message.text(2, "text");
        let bytes = message.as_bytes();
        for end in [1, 2, 4, 5, bytes.len() - 1] {
            assert!(fields(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(fields(&[0x0b]).is_err(), "a group");
        assert!(fields(&[0xff; 11]).is_err(), "an endless number");
        assert!(
            fields(&[
                0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
            ])
            .is_err()
        );
    }
}
