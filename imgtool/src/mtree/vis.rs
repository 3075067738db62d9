//! Names and link targets in a manifest: vis(3) with VIS_WHITE, VIS_OCTAL and VIS_GLOB, byte by
//! byte.

/// Encodes bytes.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'*' | b'?' | b'[' | b'#' => octal(byte, &mut text),
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => octal(byte, &mut text),
        }
    }
    text
}

fn octal(byte: u8, text: &mut String) {
    text.push('\\');
    for shift in [6, 3, 0] {
        text.push(char::from(b'0' + (byte >> shift & 7)));
    }
}

/// Decodes what unvis(3) does; nothing for an escape that isn't one.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let length = escape(after, &mut bytes)?;
        rest = &after[length..];
    }
    Some(bytes)
}

/// Decodes one escape, its backslash taken off; returns its length.
fn escape(text: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    let simple = match *text.first()? {
        b'\\' => b'\\',
        b'"' => b'"',
        b'n' => b'\n',
        b'r' => b'\r',
        b'b' => 8,
        b'a' => 7,
        b'v' => 11,
        b't' => b'\t',
        b'f' => 12,
        b's' => b' ',
        b'E' => 27,
        b'$' | b'\n' => return Some(1),
        b'0'..=b'7' => {
            let digits = text
                .iter()
                .take(3)
                .take_while(|digit| (b'0'..=b'7').contains(digit))
                .count();
            let value = text[..digits]
                .iter()
                .fold(0, |value: u32, digit| value * 8 + u32::from(digit - b'0'));
            bytes.push(u8::try_from(value).ok()?);
            return Some(digits);
        }
        b'x' => {
            let digits = std::str::from_utf8(text.get(1..3)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            return Some(3);
        }
        b'^' => {
            bytes.push(control(*text.get(1)?));
            return Some(2);
        }
        b'M' => {
            let (value, length) = match text.get(1)? {
                b'-' => (*text.get(2)?, 3),
                b'^' => (control(*text.get(2)?), 3),
                _ => return None,
            };
            bytes.push(value | 0x80);
            return Some(length);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(1)
}

fn control(byte: u8) -> u8 {
    if byte == b'?' { 0x7f } else { byte & 0x1f }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = encode(&bytes);
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        assert_eq!(decode(text.as_bytes()).unwrap(), bytes);
        assert_eq!(encode(b"a b*\\\xff"), "a\\040b\\052\\\\\\377");
    }

    #[test]
    fn what_others_write_is_read() {
        for (text, bytes) in [
            ("\\s\\n\\t", &b" \n\t"[..]),
            ("\\x41\\^A\\M-a\\M^?\\7", b"A\x01\xe1\xff\x07"),
            ("plain%20", b"plain%20"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        for bad in ["\\", "\\q", "\\777", "\\x4", "\\Mx"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
