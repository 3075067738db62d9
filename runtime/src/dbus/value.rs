//! Values and their wire format (D-Bus specification, "Type system" and "Marshaling").

use std::fmt;

/// A value, of the types that systemd's interfaces for units use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Boolean(bool),
    /// `i`
    Int32(i32),
    /// `u`
    Uint32(u32),
    /// `t`
    Uint64(u64),
    /// `s`
    String(String),
    /// `o`
    ObjectPath(String),
    /// `a`, with the signature of its elements.
    Array(&'static str, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Boolean(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::Uint64(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::String(value.to_owned())
    }
}

impl Value {
    /// An array of bytes, `ay`.
    pub fn bytes(bytes: &[u8]) -> Self {
        Value::Array("y", bytes.iter().copied().map(Value::Byte).collect())
    }

    /// The text of a string or an object path.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::ObjectPath(text) => Some(text),
            Value::Variant(value) => value.text(),
            _ => None,
        }
    }

    /// Adds the type's signature to `out`.
    pub(super) fn signature(&self, out: &mut String) {
        match self {
            Value::Byte(_) => out.push('y'),
            Value::Boolean(_) => out.push('b'),
            Value::Int32(_) => out.push('i'),
            Value::Uint32(_) => out.push('u'),
            Value::Uint64(_) => out.push('t'),
            Value::String(_) => out.push('s'),
            Value::ObjectPath(_) => out.push('o'),
            Value::Array(element, _) => {
                out.push('a');
                out.push_str(element);
            }
            Value::Struct(fields) => {
                out.push('(');
                for field in fields {
                    field.signature(out);
                }
                out.push(')');
            }
            Value::Variant(_) => out.push('v'),
        }
    }

    /// Adds the value to `out`, which begins at a multiple of eight.
    pub(super) fn marshal(&self, out: &mut Vec<u8>) {
        match self {
            Value::Byte(value) => out.push(*value),
            Value::Boolean(value) => number(out, u32::from(*value).to_ne_bytes()),
            Value::Int32(value) => number(out, value.to_ne_bytes()),
            Value::Uint32(value) => number(out, value.to_ne_bytes()),
            Value::Uint64(value) => number(out, value.to_ne_bytes()),
            Value::String(text) | Value::ObjectPath(text) => {
                number(out, length(text.len()));
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
            Value::Array(element, values) => {
                number(out, [0; 4]);
                let length_at = out.len() - 4;
                // The padding before the first element doesn't count.
                align(out, alignment(element));
                let start = out.len();
                for value in values {
                    value.marshal(out);
                }
                let bytes = length(out.len() - start);
                out[length_at..length_at + 4].copy_from_slice(&bytes);
            }
            Value::Struct(fields) => {
                align(out, 8);
                for field in fields {
                    field.marshal(out);
                }
            }
            Value::Variant(value) => {
                let mut signature = String::new();
                value.signature(&mut signature);
                marshal_signature(&signature, out);
                value.marshal(out);
            }
        }
    }
}

/// As `busctl` shows it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Byte(value) => write!(f, "{value:#04x}"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Int32(value) => write!(f, "{value}"),
            Value::Uint32(value) => write!(f, "{value}"),
            Value::Uint64(u64::MAX) => f.write_str("infinity"),
            Value::Uint64(value) => write!(f, "{value}"),
            Value::String(text) | Value::ObjectPath(text) => f.write_str(text),
            Value::Variant(value) => write!(f, "{value}"),
            Value::Array(_, values) | Value::Struct(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Adds a signature: its length in one byte, its text, a zero.
pub(super) fn marshal_signature(signature: &str, out: &mut Vec<u8>) {
    // A signature has at most 255 bytes, and ours have a dozen.
    out.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(signature.as_bytes());
    out.push(0);
}

pub(super) fn align(out: &mut Vec<u8>, alignment: usize) {
    out.resize(out.len().next_multiple_of(alignment), 0);
}

/// A number is aligned to its own size.
pub(super) fn number<const SIZE: usize>(out: &mut Vec<u8>, bytes: [u8; SIZE]) {
    align(out, SIZE);
    out.extend_from_slice(&bytes);
}

/// A message has at most 128 MiB.
pub(super) fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes()
}

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

/// Reads values from a message: the basic types, and variants of them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which begin at a multiple of eight.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn align(&mut self, alignment: usize) {
        self.at = self.at.next_multiple_of(alignment);
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn number<const SIZE: usize>(&mut self) -> Option<[u8; SIZE]> {
        self.align(SIZE);
        self.take(SIZE)?.try_into().ok()
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.take(1)? == [0]).then_some(text)
    }

    pub(super) fn signature(&mut self) -> Option<&'a str> {
        let [length] = self.number()?;
        self.text(length.into())
    }

    /// The next value, of the type that `kind` stands for; `None` for what can't be read.
    pub(super) fn value(&mut self, kind: u8) -> Option<Value> {
        Some(match kind {
            b'y' => Value::Byte(u8::from_ne_bytes(self.number()?)),
            b'b' => Value::Boolean(u32::from_ne_bytes(self.number()?) != 0),
            b'i' => Value::Int32(i32::from_ne_bytes(self.number()?)),
            b'u' => Value::Uint32(u32::from_ne_bytes(self.number()?)),
            b't' => Value::Uint64(u64::from_ne_bytes(self.number()?)),
            b's' | b'o' => {
                let length = u32::from_ne_bytes(self.number()?);
                let text = self.text(length.try_into().ok()?)?.to_owned();
                if kind == b's' {
                    Value::String(text)
                } else {
                    Value::ObjectPath(text)
                }
            }
            b'g' => Value::String(self.signature()?.to_owned()),
            b'v' => {
                let signature = self.signature()?;
                let &[kind] = signature.as_bytes() else {
                    return None;
                };
                // A variant in a variant in a variant … has no end.
                if kind == b'v' {
                    return None;
                }
                Value::Variant(Box::new(self.value(kind)?))
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marshalled(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.marshal(&mut out);
        out
    }

    /// The examples of the specification's "Marshaling", and the property that a scope begins with.
    #[test]
    #[cfg(target_endian = "little")]
    fn values_are_laid_out_as_specified() {
        assert_eq!(
            marshalled(&Value::from("foo")),
            [3, 0, 0, 0, b'f', b'o', b'o', 0]
        );
        assert_eq!(
            marshalled(&Value::Array("t", vec![Value::Uint64(5)])),
            [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]
        );
        let pids = Value::Struct(vec![
            "PIDs".into(),
            Value::Variant(Box::new(Value::Array("u", vec![Value::Uint32(7)]))),
        ]);
        let mut signature = String::new();
        pids.signature(&mut signature);
        assert_eq!(signature, "(sv)");
        assert_eq!(
            marshalled(&pids),
            [
                4, 0, 0, 0, b'P', b'I', b'D', b's', 0, 2, b'a', b'u', 0, 0, 0, 0, 4, 0, 0, 0, 7, 0,
                0, 0
            ]
        );
        // An empty array of structs is padded all the same.
        assert_eq!(marshalled(&Value::Array("(sv)", vec![])), [0; 8]);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let values = [
            Value::Byte(3),
            Value::Boolean(true),
            Value::Uint64(u64::MAX),
            Value::Int32(-5),
            Value::from("unit.scope"),
            Value::ObjectPath("/a/b".into()),
            Value::Variant(Box::new(Value::from("text"))),
        ];
        let mut bytes = Vec::new();
        let mut signature = String::new();
        for value in &values {
            value.marshal(&mut bytes);
            value.signature(&mut signature);
        }
        let mut reader = Reader::new(&bytes);
        for (value, kind) in values.iter().zip(signature.bytes()) {
            assert_eq!(reader.value(kind).as_ref(), Some(value));
        }
        assert!(reader.is_at_end());
    }

    #[test]
    fn broken_bytes_are_refused() {
        for bytes in [
            &[9, 0, 0, 0, b'x', 0][..],
            &[0xff, 0xff, 0xff, 0xff, 0],
            &[1, 0, 0, 0, 0xff, 0],
            &[1, 0, 0, 0, b'x', 7],
        ] {
            assert_eq!(Reader::new(bytes).value(b's'), None, "{bytes:?}");
        }
        assert_eq!(Reader::new(&[1, b'v', 0, 1, b'v', 0]).value(b'v'), None);
    }
}
