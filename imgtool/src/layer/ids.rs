//! Which host user and group own a file of the image.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// A run of user or group numbers, as `user_namespaces(7)` maps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdRange {
    /// The first number inside the container.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// The first number on the host.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

impl std::str::FromStr for IdRange {
    type Err = anyhow::Error;

    /// Reads umoci's `container:host[:size]`; the size is 1 unless given.
    fn from_str(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.split(':').collect();
        let number = |field: &str| {
            field
                .parse::<u32>()
                .with_context(|| format!("'{field}' is not a user or group number"))
        };
        let (container, host, size) = match fields[..] {
            [container, host] => (container, host, "1"),
            [container, host, size] => (container, host, size),
            _ => bail!("a mapping is written CONTAINER:HOST[:SIZE]"),
        };
        let range = IdRange {
            container_id: number(container)?,
            host_id: number(host)?,
            size: number(size)?,
        };
        if range.size == 0 {
            bail!("the mapping's size is 0");
        }
        // 4294967295 is no user: it tells chown(2) to leave the owner alone.
        if [range.container_id, range.host_id]
            .iter()
            .any(|&id| id.checked_add(range.size).is_none())
        {
            bail!("the mapping goes beyond 4294967294");
        }
        Ok(range)
    }
}

/// The host number of an image's number. No ranges at all means that they are the same.
pub fn to_host(ranges: &[IdRange], id: u32) -> Option<u32> {
    if ranges.is_empty() {
        return Some(id);
    }
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.container_id)?;
        if offset >= range.size {
            return None;
        }
        range.host_id.checked_add(offset)
    })
}

/// The image's number of a host number; the other way round.
fn to_image(ranges: &[IdRange], id: u32) -> Option<u32> {
    if ranges.is_empty() {
        return Some(id);
    }
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.host_id)?;
        if offset >= range.size {
            return None;
        }
        range.container_id.checked_add(offset)
    })
}

/// How the image's owners become owners on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMapping {
    /// User ranges; empty for the identity.
    pub users: Vec<IdRange>,
    /// Group ranges; empty for the identity.
    pub groups: Vec<IdRange>,
    /// Everything belongs to the caller, and the image's owner is kept in the extended attribute
    /// `user.rootlesscontainers`.
    pub rootless: bool,
}

impl IdMapping {
    /// The host's user and group for the image's.
    pub fn owner(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        let host_uid = to_host(&self.users, uid)
            .with_context(|| format!("user {uid} of the image is in no --uid-map range"))?;
        let host_gid = to_host(&self.groups, gid)
            .with_context(|| format!("group {gid} of the image is in no --gid-map range"))?;
        Ok((host_uid, host_gid))
    }

    /// The image's user and group for the host's.
    pub fn owner_in_image(&self, host_uid: u32, host_gid: u32) -> Result<(u32, u32)> {
        let uid = to_image(&self.users, host_uid)
            .with_context(|| format!("user {host_uid} of the host is in no --uid-map range"))?;
        let gid = to_image(&self.groups, host_gid)
            .with_context(|| format!("group {host_gid} of the host is in no --gid-map range"))?;
        Ok((uid, gid))
    }

    /// The value of `security.capability` in the image. In a user namespace the kernel adds to it
    /// the host's number of that namespace's root (capabilities(7), VFS_CAP_REVISION_3), which
    /// the image has no use for.
    pub fn capability_in_image(&self, value: Vec<u8>) -> Vec<u8> {
        const REVISION_2: u8 = 2;
        const REVISION_3: u8 = 3;
        if value.len() != 24 || value[3] != REVISION_3 {
            return value;
        }
        let root = u32::from_le_bytes([value[20], value[21], value[22], value[23]]);
        if to_image(&self.users, root) != Some(0) {
            return value;
        }
        let mut value = value;
        value.truncate(20);
        value[3] = REVISION_2;
        value
    }
}

/// Whether we run in a user namespace other than the host's, where mknod(2) of a device fails
/// whoever we are (`user_namespaces(7)`).
pub fn in_user_namespace() -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else {
        return false;
    };
    let fields: Vec<&str> = map.split_whitespace().collect();
    fields != ["0", "0", "4294967295"]
}

/// The name of the attribute that keeps a file's owner where chown(2) isn't allowed:
/// <https://rootlesscontaine.rs/proto/rootlesscontainers.proto>.
pub const ROOTLESS_XATTR: &[u8] = b"user.rootlesscontainers";

/// The attribute's value, a protobuf message `{uint32 uid = 1; uint32 gid = 2}` where 4294967295
/// stands for "the container's root"; nothing when both are root.
pub fn rootless_xattr(uid: u32, gid: u32) -> Option<Vec<u8>> {
    if uid == 0 && gid == 0 {
        return None;
    }
    let mut message = Vec::with_capacity(12);
    for (field, id) in [(1u8, uid), (2, gid)] {
        message.push(field << 3);
        let mut rest = if id == 0 { u32::MAX } else { id };
        while rest > 0x7f {
            message.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        message.push((rest & 0x7f) as u8);
    }
    Some(message)
}

/// The user and group in the attribute's value.
pub fn rootless_owner(value: &[u8]) -> Result<(u32, u32)> {
    let (mut uid, mut gid) = (0, 0);
    let mut rest = value;
    while !rest.is_empty() {
        let (tag, value);
        (tag, rest) = varint(rest)?;
        (value, rest) = varint(rest)?;
        let id = u32::try_from(value).context("a number beyond 32 bits")?;
        let id = if id == u32::MAX { 0 } else { id };
        match tag {
            0x08 => uid = id,
            0x10 => gid = id,
            _ => bail!("an unknown field"),
        }
    }
    Ok((uid, gid))
}

/// A number of seven bits a byte, the lowest first (protobuf's encoding.md).
fn varint(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let length = bytes
        .iter()
        .take(9)
        .position(|byte| byte & 0x80 == 0)
        .context("a number that is cut short")?;
    let value = bytes[..=length]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Ok((value, &bytes[length + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_and_checked() {
        let range: IdRange = "0:100000:65536".parse().unwrap();
        assert_eq!(
            range,
            IdRange {
                container_id: 0,
                host_id: 100_000,
                size: 65536
            }
        );
        assert_eq!("5:6".parse::<IdRange>().unwrap().size, 1);
        for bad in [
            "",
            "1",
            "1:2:3:4",
            "-1:0:1",
            "0:0:0",
            "0:4294967295:1",
            "a:b:c",
            "0:1:4294967295",
        ] {
            assert!(bad.parse::<IdRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_outside_every_range_have_no_owner() {
        let ranges = ["0:1000:1".parse().unwrap(), "1:200000:10".parse().unwrap()];
        assert_eq!(to_host(&ranges, 0), Some(1000));
        assert_eq!(to_host(&ranges, 10), Some(200_009));
        assert_eq!(to_host(&ranges, 11), None);
        assert_eq!(to_host(&[], 7), Some(7));
    }

    #[test]
    fn rootless_owner_is_protobuf() {
        assert_eq!(rootless_xattr(0, 0), None);
        assert_eq!(rootless_xattr(1000, 5).unwrap(), b"\x08\xe8\x07\x10\x05");
        assert_eq!(
            rootless_xattr(0, 42).unwrap(),
            b"\x08\xff\xff\xff\xff\x0f\x10\x2a"
        );
    }

    #[test]
    fn owners_come_back() {
        for owner in [(1000, 5), (0, 42), (7, 0), (4_000_000_000, 1)] {
            let value = rootless_xattr(owner.0, owner.1).unwrap();
            assert_eq!(rootless_owner(&value).unwrap(), owner);
        }
        for bad in [&b"\x08"[..], b"\x08\x80", b"\x18\x01", &[0xff; 20]] {
            assert!(rootless_owner(bad).is_err(), "{}", bad.escape_ascii());
        }
        let users = vec!["0:100000:10".parse().unwrap()];
        let mapping = IdMapping {
            groups: users.clone(),
            users,
            rootless: false,
        };
        assert_eq!(mapping.owner_in_image(100_003, 100_000).unwrap(), (3, 0));
        assert!(mapping.owner_in_image(5, 100_000).is_err());
    }

    #[test]
    fn a_namespaces_root_is_taken_off_capabilities() {
        let mapping = IdMapping {
            users: vec!["0:100000:10".parse().unwrap()],
            ..IdMapping::default()
        };
        let plain = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        let mut namespaced = plain.clone();
        namespaced[3] = 3;
        namespaced.extend(100_000u32.to_le_bytes());
        assert_eq!(mapping.capability_in_image(namespaced.clone()), plain);
        assert_eq!(mapping.capability_in_image(plain.clone()), plain);
        let other = [&namespaced[..20], &7u32.to_le_bytes()].concat();
        assert_eq!(mapping.capability_in_image(other.clone()), other);
    }
}
