//! /etc/hosts of a container, hosts(5).

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// What every container knows.
const LOCAL: &str = "\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// An address that the caller gives a name, `--add-host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedHost {
    name: String,
    /// None: the host itself, as the container sees it (`host-gateway`).
    address: Option<IpAddr>,
}

impl FromStr for AddedHost {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, address)) = text.split_once('=').or_else(|| text.split_once(':')) else {
            bail!("'{text}' is not NAME:ADDRESS");
        };
        if !is_host_name(name) {
            bail!("'{name}' is no host name");
        }
        if address == "host-gateway" {
            let name = name.to_owned();
            return Ok(AddedHost {
                name,
                address: None,
            });
        }
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address = bare
            .unwrap_or(address)
            .parse()
            .with_context(|| format!("'{address}' is neither an IP address nor host-gateway"))?;
        Ok(AddedHost {
            name: name.to_owned(),
            address: Some(address),
        })
    }
}

impl AddedHost {
    /// Whether it is a name of the host itself.
    pub fn is_gateway(&self) -> bool {
        self.address.is_none()
    }
}

/// Whether it can stand in a line of /etc/hosts and mean one name.
pub fn is_host_name(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    !name.is_empty() && name.chars().all(plain)
}

/// A container on the same network, or the one that the file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHost {
    /// Where it is.
    pub addresses: Vec<IpAddr>,
    /// What it is called; an empty name is none.
    pub names: Vec<String>,
}

/// The text of the file. Whoever comes first is found first. Without a gateway, what leads there is
/// left out.
pub fn text(
    before: Option<&str>,
    added: &[AddedHost],
    gateway: Option<IpAddr>,
    known: &[KnownHost],
) -> String {
    let mut text = before.unwrap_or(LOCAL).to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for host in added {
        if let Some(address) = host.address.or(gateway) {
            let _ = writeln!(text, "{address}\t{}", host.name);
        }
    }
    for host in known {
        let mut names: Vec<&str> = Vec::new();
        for name in &host.names {
            if is_host_name(name) && !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        if !names.is_empty() {
            for address in &host.addresses {
                let _ = writeln!(text, "{address}\t{}", names.join(" "));
            }
        }
    }
    text
}

/// Gives a file new content in its place: it is mounted into containers, so it can't be replaced by
/// another. A reader never finds it empty. A lease that the container has taken on it (fcntl(2)) would
/// hold us up for 45 seconds: then it is an error.
pub fn overwrite(path: &Path, text: &str) -> Result<()> {
    let context = || format!("write {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
        .with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    file.set_len(text.len() as u64).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_added() {
        let added: Vec<AddedHost> = [
            "db:10.0.0.1",
            "six=[fd00::1]",
            "colons:fd00::2",
            "up:host-gateway",
        ]
        .map(|text| text.parse().unwrap())
        .into();
        let known = [
            KnownHost {
                addresses: vec!["10.1.0.2".parse().unwrap(), "fd01::2".parse().unwrap()],
                names: ["web", "web", "", "c 1", "c1"].map(str::to_owned).into(),
            },
            KnownHost {
                addresses: vec!["10.1.0.3".parse().unwrap()],
                names: vec![String::new()],
            },
        ];
        let gateway = Some("10.1.0.1".parse().unwrap());
        let hosts = text(Some("127.0.0.1\tlocalhost"), &added, gateway, &known);
        assert_eq!(
            hosts,
            "127.0.0.1\tlocalhost\n10.0.0.1\tdb\nfd00::1\tsix\nfd00::2\tcolons\n10.1.0.1\tup\n\
             10.1.0.2\tweb c1\nfd01::2\tweb c1\n"
        );
        assert!(added[3].is_gateway());
        assert!(!text(None, &added, None, &[]).contains("up"));
        for bad in [
            "db",
            "a b:10.0.0.1",
            ":10.0.0.1",
            "db:10.0.0",
            "x\n:1.1.1.1",
        ] {
            assert!(bad.parse::<AddedHost>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_overwritten_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        std::fs::write(&path, "a longer text").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        overwrite(&path, "short\n").unwrap();
        assert_eq!(std::io::read_to_string(file).unwrap(), "short\n");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(overwrite(&link, "x").is_err());
        assert!(overwrite(&directory.path().join("missing"), "x").is_err());
    }
}
