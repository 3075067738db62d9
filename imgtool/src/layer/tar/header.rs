//! One 512-byte header block: POSIX ustar, GNU and the old V7 form.
//!
//! POSIX.1-2024 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use super::problem::Problem;

/// The size of every block of a tar archive, in bytes.
pub(super) const BLOCK: usize = 512;

/// Which program's rules the header follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `ustar\0` and version `00`: has a name prefix.
    Posix,
    /// `ustar  \0`: has other things where POSIX has the prefix.
    Gnu,
    /// No magic: neither.
    V7,
}

/// The fields of a header block, decoded and checked.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) mtime: i64,
    pub(super) kind: u8,
    pub(super) link_name: Vec<u8>,
    pub(super) device: (u32, u32),
}

impl Header {
    /// Decodes a block that isn't all zeros.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, Problem> {
        check_sum(block)?;
        let dialect = dialect(block)?;
        let kind = block[156];
        // Read for every type: some readers do, and take a bad number for the archive's end.
        let device = (
            device_number(&block[329..337], "devmajor")?,
            device_number(&block[337..345], "devminor")?,
        );
        Ok(Header {
            name: name(block, dialect)?,
            mode: u32::try_from(unsigned(&block[100..108], "mode")?)
                .map_err(|_| Problem::Number("mode"))?
                & 0o7777,
            uid: unsigned(&block[108..116], "uid")?,
            gid: unsigned(&block[116..124], "gid")?,
            size: unsigned(&block[124..136], "size")?,
            mtime: signed(&block[136..148], "mtime")?,
            kind,
            link_name: until_nul(&block[157..257]).to_vec(),
            device,
        })
    }
}

/// The checksum is the sum of all bytes, its own field taken as spaces. Some old tars summed
/// signed bytes; like GNU tar, Go and Python we accept that sum too.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), Problem> {
    let stored = signed(&block[148..156], "checksum")?;
    let (mut sum, mut signed_sum) = (0i64, 0i64);
    for (index, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&index) {
            b' '
        } else {
            byte
        };
        sum += i64::from(byte);
        signed_sum += i64::from(byte.cast_signed());
    }
    if stored == sum || stored == signed_sum {
        Ok(())
    } else {
        Err(Problem::Checksum)
    }
}

fn dialect(block: &[u8; BLOCK]) -> Result<Dialect, Problem> {
    match &block[257..265] {
        b"ustar\x0000" => Ok(Dialect::Posix),
        b"ustar  \0" => Ok(Dialect::Gnu),
        [0, 0, 0, 0, 0, 0, 0, 0] => Ok(Dialect::V7),
        _ => Err(Problem::Magic),
    }
}

/// The name with its prefix. star(1) cuts the prefix at 131 bytes and says so by a trailer: where
/// the two readings differ, neither is taken.
fn name(block: &[u8; BLOCK], dialect: Dialect) -> Result<Vec<u8>, Problem> {
    let name = until_nul(&block[..100]);
    match dialect {
        Dialect::Posix => {
            let prefix = until_nul(&block[345..500]);
            if &block[508..512] == b"tar\0" && prefix.len() >= 131 {
                return Err(Problem::Prefix);
            }
            if prefix.is_empty() {
                return Ok(name.to_vec());
            }
            // Joined, it ends in a slash: for a directory Python writes that, anything else would
            // be a directory to some.
            if name.is_empty() && block[156] != b'5' {
                return Err(Problem::Prefix);
            }
            Ok([prefix, b"/", name].concat())
        }
        // GNU tar has times here, and only for incremental backups; some readers take them for a
        // prefix.
        Dialect::Gnu | Dialect::V7 if block[345..500].iter().all(|&byte| byte == 0) => {
            Ok(name.to_vec())
        }
        Dialect::Gnu | Dialect::V7 => Err(Problem::Prefix),
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn unsigned(field: &[u8], what: &'static str) -> Result<u64, Problem> {
    u64::try_from(signed(field, what)?).map_err(|_| Problem::Number(what))
}

fn device_number(field: &[u8], what: &'static str) -> Result<u32, Problem> {
    u32::try_from(unsigned(field, what)?).map_err(|_| Problem::Number(what))
}

/// A number: octal digits with spaces before and a space or NUL after, or, when the first bit is
/// set, a two's complement number of the remaining bits (GNU tar's base-256).
fn signed(field: &[u8], what: &'static str) -> Result<i64, Problem> {
    if field[0] & 0x80 != 0 {
        return base_256(field).ok_or(Problem::Number(what));
    }
    let text = until_nul(field);
    if text.is_empty() && field.iter().any(|&byte| byte != 0) {
        // NULs and then something: Go's reader takes the number, Python's takes zero.
        return Err(Problem::Number(what));
    }
    // No other white space: Go's reader takes none, Python's all.
    let spaces = |byte: &u8| *byte == b' ';
    let start = text.iter().take_while(|byte| spaces(byte)).count();
    let digits = &text[start..];
    let end = digits.iter().rev().take_while(|byte| spaces(byte)).count();
    let mut value = 0i64;
    for &digit in &digits[..digits.len() - end] {
        if !(b'0'..=b'7').contains(&digit) {
            return Err(Problem::Number(what));
        }
        value = value
            .checked_mul(8)
            .and_then(|value| value.checked_add(i64::from(digit - b'0')))
            .ok_or(Problem::Number(what))?;
    }
    Ok(value)
}

fn base_256(field: &[u8]) -> Option<i64> {
    // Bit 7 of the first byte is the mark, bit 6 the sign.
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let mut value = if negative { -1i128 } else { 0 };
    value = (value << 8) | i128::from(first);
    for &byte in &field[1..] {
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_numbers() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"00000000", 0),
        ] {
            assert_eq!(
                signed(field, "x").unwrap(),
                value,
                "{}",
                field.escape_ascii()
            );
        }
        for field in [
            &b"00006 4\0"[..],
            b"0x00644\0",
            b"-000644\0",
            b"+000644\0",
            b"0000648\0",
            b"000644\n\0",
            b"\n000644\0",
            b"\x000000644",
        ] {
            assert!(signed(field, "x").is_err(), "{}", field.escape_ascii());
        }
    }

    #[test]
    fn base_256_numbers() {
        assert_eq!(signed(b"\x80\0\0\0\0\0\0\0\0\0\x01\0", "x").unwrap(), 256);
        assert_eq!(signed(&[0xff; 12], "x").unwrap(), -1);
        assert!(signed(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "x").is_err());
        assert!(unsigned(&[0xff; 12], "x").is_err());
    }
}
