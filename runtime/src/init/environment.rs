//! Completing the environment: HOME, from the container's own /etc/passwd.

use std::ffi::CString;
use std::io::Read;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};

use crate::error::{Error, Result};
use crate::plan::EnvironmentStep;
use crate::rootfs::file_type;

/// An image decides what stands in its /etc/passwd, so it must not decide how much we read of it
/// (CVE-2026-47262's class).
const LARGEST_PASSWD: u64 = 10 << 20;

/// The environment, with HOME added if it is missing: as in /etc/passwd, or `/`.
///
/// # Errors
/// When the home directory's name has a NUL byte in it.
pub(crate) fn complete(step: &EnvironmentStep) -> Result<Vec<CString>> {
    let mut env = step.env.clone();
    if let Some(uid) = step.home_of {
        let home = read_passwd().and_then(|text| home_of(&text, uid));
        let entry = format!("HOME={}", home.as_deref().unwrap_or("/"));
        env.push(CString::new(entry).map_err(|_| Error::new("HOME with a NUL byte"))?);
    }
    Ok(env)
}

/// /etc/passwd, if it is there, and a regular file: opening a fifo or a device that an image put
/// there could block or do worse.
fn read_passwd() -> Option<String> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat2(
        rustix::fs::CWD,
        "/etc/passwd",
        flags,
        Mode::empty(),
        resolve,
    )
    .ok()?;
    if file_type(&file).ok()? != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    std::fs::File::from(file)
        .take(LARGEST_PASSWD)
        .read_to_end(&mut text)
        .ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn home_of(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.nth(2)?.parse() == Ok(uid);
        let home = fields.nth(2)?;
        (found && !home.is_empty()).then(|| home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::home_of;

    #[test]
    fn finds_the_home_of_a_uid() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nu:x:+7:7::/no:\nu:x:7:7:a,b:/home/u:\n";
        assert_eq!(home_of(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_of(passwd, 8), None);
    }
}
