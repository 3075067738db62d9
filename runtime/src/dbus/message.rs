//! Messages (D-Bus specification, "Message Protocol"): method calls out, replies and signals in.

use super::value::{Reader, Value, align, length, marshal_signature, number};

/// The fixed part of a header: endianness, type, flags, version, and three numbers.
pub(super) const FIXED: usize = 16;
/// What we take: the answers that we expect have some hundred bytes.
const LONGEST: usize = 1 << 20;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const NO_REPLY_EXPECTED: u8 = 1;

/// The fields of a header ("Header Fields").
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SIGNATURE: u8 = 8;
}

const ENDIANNESS: u8 = if cfg!(target_endian = "little") {
    b'l'
} else {
    b'B'
};

/// A method to call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

impl Method<'_> {
    /// The message that calls it, with this serial number.
    pub(super) fn call(&self, serial: u32, arguments: &[Value], wants_reply: bool) -> Vec<u8> {
        let mut signature = String::new();
        let mut body = Vec::new();
        for argument in arguments {
            argument.signature(&mut signature);
            argument.marshal(&mut body);
        }
        let flags = if wants_reply { 0 } else { NO_REPLY_EXPECTED };
        let mut out = vec![ENDIANNESS, METHOD_CALL, flags, 1];
        number(&mut out, length(body.len()));
        number(&mut out, serial.to_ne_bytes());
        let fields_length_at = out.len();
        number(&mut out, [0; 4]);
        let path = Value::ObjectPath(self.path.to_owned());
        for (code, value) in [
            (field::PATH, path),
            (field::INTERFACE, self.interface.into()),
            (field::MEMBER, self.member.into()),
            (field::DESTINATION, self.destination.into()),
        ] {
            align(&mut out, 8);
            out.push(code);
            Value::Variant(Box::new(value)).marshal(&mut out);
        }
        if !signature.is_empty() {
            align(&mut out, 8);
            out.extend_from_slice(&[field::SIGNATURE, 1, b'g', 0]);
            marshal_signature(&signature, &mut out);
        }
        let fields_length = length(out.len() - fields_length_at - 4);
        out[fields_length_at..fields_length_at + 4].copy_from_slice(&fields_length);
        align(&mut out, 8);
        out.append(&mut body);
        out
    }
}

/// A message that has come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// What a method returned.
    Return { serial: u32, values: Vec<Value> },
    /// Why a method failed.
    Failure {
        serial: u32,
        name: String,
        message: String,
    },
    /// A signal.
    Signal(Signal),
    /// Something that is not for us.
    Other,
}

/// A signal.
#[derive(Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its name.
    pub member: String,
    /// Its arguments, as far as they are of basic types.
    pub values: Vec<Value>,
}

/// How long the message is that begins with these bytes; `None` for one that can't be read.
pub(super) fn total_length(fixed: &[u8; FIXED]) -> Option<usize> {
    let [endianness, _, _, version, ..] = *fixed;
    let at = |index: usize| {
        let bytes: [u8; 4] = fixed[index..index + 4].try_into().ok()?;
        usize::try_from(u32::from_ne_bytes(bytes)).ok()
    };
    let (body, fields) = (at(4)?, at(12)?);
    let total = (FIXED + fields).next_multiple_of(8).checked_add(body)?;
    (endianness == ENDIANNESS && version == 1 && total <= LONGEST).then_some(total)
}

/// Reads a whole message; `None` for one that can't be read.
pub(super) fn read(message: &[u8]) -> Option<Incoming> {
    let mut reader = Reader::new(message);
    let kind = *reader.take(4)?.get(1)?;
    let (Value::Uint32(body_length), _, Value::Uint32(fields_length)) = (
        reader.value(b'u')?,
        reader.value(b'u')?,
        reader.value(b'u')?,
    ) else {
        return None;
    };
    let fields_end = FIXED + usize::try_from(fields_length).ok()?;
    let body_start = fields_end.next_multiple_of(8);
    let (mut serial, mut member, mut error, mut signature) = (0, None, None, String::new());
    let mut fields = Reader::new(message.get(..fields_end)?);
    fields.take(FIXED)?;
    while !fields.is_at_end() {
        fields.align(8);
        let &[code] = fields.take(1)? else {
            return None;
        };
        let Value::Variant(value) = fields.value(b'v')? else {
            return None;
        };
        match (code, *value) {
            (field::REPLY_SERIAL, Value::Uint32(number)) => serial = number,
            (field::MEMBER, Value::String(text)) => member = Some(text),
            (field::ERROR_NAME, Value::String(text)) => error = Some(text),
            (field::SIGNATURE, Value::String(text)) => signature = text,
            _ => {}
        }
    }
    let body_end = body_start.checked_add(usize::try_from(body_length).ok()?)?;
    let mut body = Reader::new(message.get(body_start..body_end)?);
    // Values after one of a type that we don't read are left out.
    let values: Vec<Value> = signature
        .bytes()
        .map_while(|kind| body.value(kind))
        .collect();
    Some(match kind {
        METHOD_RETURN => Incoming::Return { serial, values },
        ERROR => Incoming::Failure {
            serial,
            name: error?,
            message: values
                .first()
                .and_then(Value::text)
                .unwrap_or_default()
                .to_owned(),
        },
        SIGNAL => Incoming::Signal(Signal {
            member: member?,
            values,
        }),
        _ => Incoming::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_message_that_can_be_read() {
        let method = Method {
            destination: "org.example",
            path: "/org/example",
            interface: "org.example.Manager",
            member: "StopUnit",
        };
        let message = method.call(7, &["x.scope".into(), "replace".into()], true);
        let fixed: [u8; FIXED] = message[..FIXED].try_into().unwrap();
        assert_eq!(total_length(&fixed), Some(message.len()));
        assert_eq!(read(&message), Some(Incoming::Other));

        // The same bytes with another type are a signal with these arguments.
        let mut signal = message.clone();
        signal[1] = SIGNAL;
        let expected = Signal {
            member: "StopUnit".into(),
            values: vec!["x.scope".into(), "replace".into()],
        };
        assert_eq!(read(&signal), Some(Incoming::Signal(expected)));

        // However it is cut, it is refused, not misread.
        for end in 0..message.len() {
            assert_eq!(read(&signal[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_message_too_long_is_refused() {
        let mut fixed = [0; FIXED];
        fixed[0] = ENDIANNESS;
        fixed[3] = 1;
        assert_eq!(total_length(&fixed), Some(FIXED));
        fixed[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(total_length(&fixed), None);
    }
}
