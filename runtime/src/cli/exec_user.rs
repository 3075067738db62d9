//! The user of `exec --user`.

use std::str::FromStr;

use crate::error::{Error, Result};

/// A uid, or a uid and a gid: what is printed back is what was given, digit by digit
/// (CVE-2026-30892 took `1` for 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecUser {
    /// The uid.
    pub uid: u32,
    /// The gid, if one was given.
    pub gid: Option<u32>,
}

impl FromStr for ExecUser {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (uid, gid) = match text.split_once(':') {
            Some((uid, gid)) => (uid, Some(number(gid, "gid")?)),
            None => (text, None),
        };
        Ok(ExecUser {
            uid: number(uid, "uid")?,
            gid,
        })
    }
}

fn number(part: &str, what: &str) -> Result<u32> {
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    part.parse()
        .ok()
        .filter(|number| digits && *number != u32::MAX)
        .ok_or_else(|| {
            Error::new(format!("parsing {part:?} as {what} for --user failed"))
                .hint("a number from 0 to 4294967294")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_what_was_given() {
        for (text, uid, gid) in [
            ("0", 0, None),
            ("1", 1, None),
            ("1000:1001", 1000, Some(1001)),
            ("4294967294", 4_294_967_294, None),
        ] {
            let user: ExecUser = text.parse().unwrap();
            assert_eq!(user, ExecUser { uid, gid }, "{text}");
        }
        for text in [
            "",
            ":",
            "1:",
            ":1",
            "+1",
            "-1",
            "1 ",
            "0x0",
            "root",
            "4294967296",
            "4294967295",
        ] {
            assert!(text.parse::<ExecUser>().is_err(), "{text:?}");
        }
    }
}
