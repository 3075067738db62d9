//! `Config.User`: numbers as they are, names by the image's own passwd and group.
//!
//! image-spec config.md, "User"; CVE-2024-40635: a number that doesn't fit became user 0, and
//! CVE-2026-46680: one that doesn't fit was looked up as a name.

use anyhow::{Context, Result, bail};

use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::read_at_most::read_at_most;

/// The user that a process is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) home: Option<String>,
}

/// Bytes of passwd and group; a file that a stranger made as large as he liked (CVE-2026-47262).
const LARGEST_DATABASE: u64 = 10 << 20;
/// The largest number that Docker, containerd and runc's parsers take.
const LARGEST_ID: u32 = i32::MAX.cast_unsigned();

#[derive(Debug)]
struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

#[derive(Debug)]
struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Resolves `Config.User` in the image's root file system.
pub(crate) fn resolve(user: &str, rootfs: Option<&RootFs>) -> Result<User> {
    let passwd = database(rootfs, b"etc/passwd")?;
    let group = database(rootfs, b"etc/group")?;
    resolve_in(user, &passwd, &group).with_context(|| format!("user '{}'", user.escape_debug()))
}

/// Resolves groups in the image's root file system: names of its /etc/group, and numbers.
pub(crate) fn resolve_groups(groups: &[String], rootfs: &RootFs) -> Result<Vec<u32>> {
    let database = database(Some(rootfs), b"etc/group")?;
    let number_of = |name: &String| {
        group_number(name, &database).with_context(|| format!("group '{}'", name.escape_debug()))
    };
    groups.iter().map(number_of).collect()
}

/// Whether only a root file system can tell which user it is: a name is in it, where a number
/// would do.
pub(crate) fn has_name(user: &str) -> Result<bool> {
    let parts = user.splitn(2, ':').filter(|part| !part.is_empty());
    let numbers: Result<Vec<_>> = parts.map(number).collect();
    let numbers = numbers.with_context(|| format!("user '{}'", user.escape_debug()))?;
    Ok(numbers.contains(&None))
}

fn database(rootfs: Option<&RootFs>, path: &[u8]) -> Result<String> {
    let Some(rootfs) = rootfs else {
        return Ok(String::new());
    };
    let path = ImagePath::parse(path)?;
    match rootfs.open_file(&path)? {
        Some(file) => {
            let bytes = read_at_most(file, LARGEST_DATABASE).with_context(|| path.to_string())?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        None => Ok(String::new()),
    }
}

fn resolve_in(text: &str, passwd: &str, group: &str) -> Result<User> {
    let (user, group_name) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    if group_name.is_some_and(|name| name.contains(':')) {
        bail!("more than one ':'");
    }
    // No user at all is root, Docker's default.
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user)?;
    let found = passwd_entries(passwd)
        .find(|entry| number.map_or(entry.name == user, |uid| entry.uid == uid));
    let uid = match (&found, number) {
        (_, Some(uid)) => uid,
        (Some(entry), None) => entry.uid,
        (None, None) => bail!("no such name in the image's /etc/passwd"),
    };
    let home = found
        .as_ref()
        .map(|entry| entry.home)
        .filter(|home| home.starts_with('/'));
    let home = home.map(str::to_owned);
    if let Some(name) = group_name.filter(|name| !name.is_empty()) {
        // config.md: with a group, the user's other groups don't count.
        let gid = group_number(name, group)?;
        return Ok(User {
            uid,
            gid,
            additional_gids: Vec::new(),
            home,
        });
    }
    let gid = found.as_ref().map_or(0, |entry| entry.gid);
    let additional_gids = found.map_or_else(Vec::new, |entry| groups_of(entry.name, group));
    Ok(User {
        uid,
        gid,
        additional_gids,
        home,
    })
}

fn groups_of(user: &str, group: &str) -> Vec<u32> {
    let mut gids: Vec<u32> = group_entries(group)
        .filter(|group| group.members.split(',').any(|member| member == user))
        .map(|group| group.gid)
        .collect();
    gids.sort_unstable();
    gids.dedup();
    gids
}

fn group_number(name: &str, group: &str) -> Result<u32> {
    if let Some(gid) = number(name)? {
        return Ok(gid);
    }
    group_entries(group)
        .find(|entry| entry.name == name)
        .map(|entry| entry.gid)
        .context("no such group in the image's /etc/group")
}

/// The number that `text` writes; nothing if it is a name. What begins like a number but isn't
/// one in range is an error, never a name to look up.
fn number(text: &str) -> Result<Option<u32>> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        if text.starts_with(['+', '-']) || text.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            bail!("neither a name nor a number");
        }
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= LARGEST_ID && id.to_string() == text => Ok(Some(id)),
        _ => bail!("number out of range (0 to {LARGEST_ID}, no leading zeros)"),
    }
}

/// The lines of passwd(5) that are well-formed; the C library skips others too.
fn passwd_entries(passwd: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields
            .next()
            .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let uid = number(fields.nth(1)?).ok()??;
        let gid = number(fields.next()?).ok()??;
        let home = fields.nth(1).unwrap_or_default();
        Some(PasswdEntry {
            name,
            uid,
            gid,
            home,
        })
    })
}

/// The lines of group(5) that are well-formed.
fn group_entries(group: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields
            .next()
            .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let gid = number(fields.nth(1)?).ok()??;
        Some(GroupEntry {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        # comment:x:1:1::/:\n\
        broken\n\
        big:x:4294967296:0::/:\n\
        app:x:1000:1001:App,,,:/home/app:/bin/sh\n\
        4294967296:x:0:0::/root:\n\
        relative:x:7:7::../../etc:\n";
    const GROUP: &str =
        "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nvideo:x:44:app\nvideo2:x:44:app\n";

    fn resolved(user: &str) -> Option<(u32, u32, Vec<u32>, Option<String>)> {
        let user = resolve_in(user, PASSWD, GROUP).ok()?;
        Some((user.uid, user.gid, user.additional_gids, user.home))
    }

    #[test]
    fn every_form_of_user() {
        let home = Some("/home/app".to_owned());
        let root = Some("/root".to_owned());
        for (user, expected) in [
            ("", (0, 0, vec![10], root.clone())),
            ("root", (0, 0, vec![10], root.clone())),
            ("app", (1000, 1001, vec![10, 44], home.clone())),
            ("1000", (1000, 1001, vec![10, 44], home.clone())),
            ("1000:5", (1000, 5, vec![], home.clone())),
            ("app:wheel", (1000, 10, vec![], home.clone())),
            ("1000:wheel", (1000, 10, vec![], home.clone())),
            ("app:5", (1000, 5, vec![], home.clone())),
            ("4242", (4242, 0, vec![], None)),
            ("4242:4243", (4242, 4243, vec![], None)),
            (":wheel", (0, 10, vec![], root)),
            ("relative", (7, 7, vec![], None)),
        ] {
            assert_eq!(resolved(user), Some(expected), "{user}");
        }
    }

    #[test]
    fn what_is_no_user_is_an_error() {
        for user in [
            "4294967296",
            "4294967295",
            "2147483648",
            "-1",
            "4294967296:0",
            "0:4294967296",
            "0x0",
            "+1000",
            "nobody",
            "app:nogroup",
            "a:b:c",
            "00",
            "01000",
            "1000 ",
            "app\n",
            "big",
            "broken",
            "99999999999999999999999",
            "1e3",
            "0:-1",
        ] {
            assert_eq!(resolved(user), None, "{user}");
        }
    }
}
