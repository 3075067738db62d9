//! PAX extended headers: `LENGTH KEY=VALUE\n` records (POSIX.1-2024 pax, "pax Extended Header").

use std::collections::HashSet;

use super::entry::Timestamp;
use super::problem::Problem;

/// The records of an extended header that say something about an entry.
#[derive(Debug, Default)]
pub(super) struct PaxRecords {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) atime: Option<Timestamp>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The kernel's limits on extended attributes, linux/limits.h.
const LONGEST_XATTR_NAME: usize = 255;
const LONGEST_XATTR_VALUE: usize = 65536;

impl PaxRecords {
    /// Reads the body of an `x` header.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut records = PaxRecords::default();
        // A set: a header of a mebibyte has room for some 87,000 keys, and an archive for many such
        // headers.
        let mut seen = HashSet::new();
        each_record(body, |key, value| {
            // POSIX lets the last of two win, but readers that merge and readers that replace
            // then disagree, and no writer needs it.
            if !seen.insert(key) {
                return Err(Problem::PaxRepeated);
            }
            records.take(key, value)
        })?;
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), Problem> {
        match key {
            b"path" => self.path = Some(name(value)?),
            b"linkpath" => self.link_path = Some(name(value)?),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(timestamp(value)?),
            b"atime" => self.atime = Some(timestamp(value)?),
            b"hdrcharset" if !matches!(value, b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {
                return Err(Problem::PaxCharset);
            }
            // star's and GNU tar's ways to say that a file has holes.
            b"SCHILY.realsize" => return Err(Problem::Sparse),
            _ if key.starts_with(b"GNU.sparse.") => return Err(Problem::Sparse),
            _ => {
                if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.take_xattr(attribute, value)?;
                }
                // Anything else is about the archive (comment, ctime, SCHILY.dev …), about user
                // names, which image-spec layer.md has us ignore, or a second copy of what
                // SCHILY.xattr says (LIBARCHIVE.xattr).
            }
        }
        Ok(())
    }

    fn take_xattr(&mut self, attribute: &[u8], value: &[u8]) -> Result<(), Problem> {
        if attribute.is_empty()
            || attribute.contains(&0)
            || attribute.len() > LONGEST_XATTR_NAME
            || value.len() > LONGEST_XATTR_VALUE
        {
            return Err(Problem::Xattr);
        }
        self.xattrs.push((attribute.to_vec(), value.to_vec()));
        Ok(())
    }
}

/// Checks the body of a `g` header. Readers disagree on whether its records apply to the entries
/// that follow (Go: no; GNU tar, Python: yes), so only those that change nothing are accepted,
/// such as git-archive's comment.
pub(super) fn check_global(body: &[u8]) -> Result<(), Problem> {
    each_record(body, |key, _| {
        let harmless = key == b"comment" || key.first().is_some_and(u8::is_ascii_uppercase);
        let attribute = key.starts_with(b"SCHILY.xattr.") || key.starts_with(b"GNU.sparse.");
        if harmless && !attribute {
            Ok(())
        } else {
            Err(Problem::PaxGlobal)
        }
    })
}

fn each_record<'a>(
    mut body: &'a [u8],
    mut take: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), Problem>,
) -> Result<(), Problem> {
    while !body.is_empty() {
        let space = body
            .iter()
            .position(|&byte| byte == b' ')
            .ok_or(Problem::Pax)?;
        // More than ten digits can't be right below any limit that we have.
        if space == 0 || space > 10 || body[0] == b'0' {
            return Err(Problem::Pax);
        }
        let length = usize::try_from(decimal(&body[..space])?).map_err(|_| Problem::Pax)?;
        if length <= space + 1 || length > body.len() || body[length - 1] != b'\n' {
            return Err(Problem::Pax);
        }
        let record = &body[space + 1..length - 1];
        let equals = record
            .iter()
            .position(|&byte| byte == b'=')
            .ok_or(Problem::Pax)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if key.is_empty() || key.contains(&0) {
            return Err(Problem::Pax);
        }
        take(key, value)?;
        body = &body[length..];
    }
    Ok(())
}

/// An empty value means "as if the record weren't there" to POSIX and "an empty name" to others.
fn name(value: &[u8]) -> Result<Vec<u8>, Problem> {
    if value.is_empty() || value.contains(&0) {
        Err(Problem::Pax)
    } else {
        Ok(value.to_vec())
    }
}

fn decimal(digits: &[u8]) -> Result<u64, Problem> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Problem::Pax);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Problem::Pax)
}

/// Seconds since the epoch with an optional sign and fraction; finer than a nanosecond is cut
/// towards minus infinity.
fn timestamp(value: &[u8]) -> Result<Timestamp, Problem> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |&byte| byte == b'.');
    let whole = decimal(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(whole).map_err(|_| Problem::Pax)?;
    let mut nanoseconds = 0;
    let mut finer = false;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return Err(Problem::Pax);
        }
        for place in 0..9 {
            let digit = fraction.get(place).map_or(0, |digit| digit - b'0');
            nanoseconds = nanoseconds * 10 + u32::from(digit);
        }
        finer = fraction.iter().skip(9).any(|&digit| digit != b'0');
    }
    if !negative {
        return Ok(Timestamp {
            seconds,
            nanoseconds,
        });
    }
    let nanoseconds = nanoseconds + u32::from(finer);
    Ok(match nanoseconds {
        0 => Timestamp {
            seconds: -seconds,
            nanoseconds: 0,
        },
        _ => Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_the_nanosecond() {
        let time = |text: &[u8]| {
            timestamp(text)
                .map(|time| (time.seconds, time.nanoseconds))
                .ok()
        };
        assert_eq!(time(b"1350244992"), Some((1_350_244_992, 0)));
        assert_eq!(
            time(b"1350244992.023960108"),
            Some((1_350_244_992, 23_960_108))
        );
        assert_eq!(time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(time(b"-1.5"), Some((-2, 500_000_000)));
        assert_eq!(time(b"-0.000000001"), Some((-1, 999_999_999)));
        for bad in [
            &b""[..],
            b"-",
            b"1,5",
            b"1.5.5",
            b"+1",
            b"1e3",
            b" 1",
            b"--1",
        ] {
            assert_eq!(time(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn malformed_records_are_errors() {
        for body in [
            &b"11 path=abc"[..], // no newline
            b"12 path=abc\n\n",  // length one too long for the newline
            b"5 a=b\n",          // length too short
            b"99 path=abc\n",    // beyond the end
            b"012 path=abc\n",   // leading zero
            b"+12 path=abc\n",   // sign
            b"6 a b\n",          // no equals sign
            b"5 =b\n",           // no key
            b"8 path=\n",        // empty name
            b"11 path=a\0b\n",   // NUL in a name
            b"10 size=-1\n",     // sign in a size
            b"11 size=0x1\n",    // not decimal
            b"9999999999999999999999 a=b\n",
            b"0 a=b\n",
        ] {
            assert!(PaxRecords::parse(body).is_err(), "{}", body.escape_ascii());
        }
        let fine = PaxRecords::parse(b"12 path=abc\n9 size=5\n").unwrap();
        assert_eq!(fine.path.as_deref(), Some(&b"abc"[..]));
        assert_eq!(fine.size, Some(5));
    }

    #[test]
    fn repeated_records_are_errors() {
        assert!(PaxRecords::parse(b"9 size=5\n9 size=6\n").is_err());
    }

    #[test]
    fn many_records_take_no_longer_each() {
        // As many as the limit on an extended header allows.
        let records = (0..87_000).map(|number| format!("12 c{number:06}=\n"));
        let body = records.collect::<String>();
        let began = std::time::Instant::now();
        PaxRecords::parse(body.as_bytes()).unwrap();
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn values_may_hold_anything() {
        let records = PaxRecords::parse(b"27 SCHILY.xattr.user.a=\n=\0\n").unwrap();
        assert_eq!(records.xattrs, [(b"user.a".to_vec(), b"\n=\0".to_vec())]);
    }

    #[test]
    fn global_records_that_change_entries_are_refused() {
        assert!(check_global(b"14 comment=ab\n").is_ok());
        assert!(check_global(b"12 path=abc\n").is_err());
        assert!(check_global(b"23 SCHILY.xattr.user=a\n").is_err());
    }
}
