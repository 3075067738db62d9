//! Images' names as Docker's users write them: `host[:port]/path[:tag][@digest]`
//! (the grammar of github.com/distribution/reference).

use std::fmt;

use crate::layout::digest::Digest;

/// Bytes of a name without tag and digest.
const LONGEST_NAME: usize = 255;
/// Bytes of a tag.
const LONGEST_TAG: usize = 128;

/// An image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    /// The registry's host and port, in lower case.
    pub host: String,
    /// The repository's path.
    pub repository: String,
    /// Which of its images.
    pub version: Version,
}

/// Which image of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// Its tag.
    pub tag: Option<String>,
    /// Its digest, which decides where both are given.
    pub digest: Option<Digest>,
}

impl Version {
    /// What a registry is asked for: the digest, the tag, or `latest`.
    pub fn reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }
}

/// Not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not an image's name ({reason})", .name.escape_debug())]
pub struct InvalidName {
    name: String,
    reason: &'static str,
}

/// A name as written: with a registry's host, or short of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// With a host.
    Full(ImageName),
    /// Without: registries.conf says where to look.
    Short {
        /// The path.
        repository: String,
        /// Which image.
        version: Version,
    },
}

impl Written {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let invalid = |reason| InvalidName {
            name: text.chars().take(300).collect(),
            reason,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| invalid("what follows the @ is not a sha256 or sha512 digest"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash begins the tag; one before belongs to the port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => {
                if !is_tag(tag) {
                    return Err(invalid(
                        "a tag has up to 128 letters, digits, '_', '.' and '-'",
                    ));
                }
                (name, Some(tag.to_owned()))
            }
            _ => (rest, None),
        };
        if name.len() > LONGEST_NAME {
            return Err(invalid("it is longer than 255 bytes"));
        }
        let version = Version { tag, digest };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (Some(host), path),
            _ => (None, name),
        };
        if !path.split('/').all(is_component) {
            return Err(invalid(
                "a path has lower-case letters, digits, and single '.', '_', '__' or '-' between",
            ));
        }
        let repository = path.to_owned();
        let Some(written_host) = host else {
            return Ok(Written::Short {
                repository,
                version,
            });
        };
        if !is_well_formed_host(written_host) {
            return Err(invalid("the host isn't one"));
        }
        // Upper case alone may be what makes it a host: without that, the name would be a short one.
        let lower = written_host.to_ascii_lowercase();
        let host = Some(lower).filter(|lower| is_host(lower));
        Ok(Written::Full(ImageName {
            host: host.unwrap_or_else(|| written_host.to_owned()),
            repository,
            version,
        }))
    }
}

impl ImageName {
    /// The name without tag and digest.
    pub fn without_version(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The name with a tag: `latest` where there is neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.version == Version::default() {
            self.version.tag = Some("latest".to_owned());
        }
        self
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.host, self.repository, self.version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Whether the first part of a name is a host rather than the beginning of a path.
fn is_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|b| b.is_ascii_uppercase())
}

/// Whether it is a host with or without a port.
pub fn is_well_formed_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => host
            .find(':')
            .map_or((host, ""), |colon| host.split_at(colon)),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let port_is_fine = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    name.split('.').all(label) && port_is_fine
}

/// Whether it is a tag.
pub fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= LONGEST_TAG
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// `alphanum (separator alphanum)*`, where a separator is `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = component;
    loop {
        let word = rest.bytes().take_while(|&byte| alphanumeric(byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let dashes = rest.bytes().take_while(|&byte| byte == b'-').count();
        let separator = match rest.as_bytes() {
            _ if dashes > 0 => dashes,
            [b'_', b'_', ..] => 2,
            [b'_' | b'.', ..] => 1,
            _ => return false,
        };
        rest = &rest[separator..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> ImageName {
        match Written::parse(text).unwrap() {
            Written::Full(name) => name,
            Written::Short { .. } => panic!("{text} is short"),
        }
    }

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let name = full(&format!("Localhost:5000/a/b-c__d:1.0@{digest}"));
        assert_eq!(name.host, "localhost:5000");
        assert_eq!(name.repository, "a/b-c__d");
        assert_eq!(name.version.tag.as_deref(), Some("1.0"));
        assert_eq!(name.version.reference(), digest);
        assert_eq!(full("[::1]:5000/x").host, "[::1]:5000");
        assert_eq!(full("localhost/x").version.reference(), "latest");
        assert_eq!(
            full("r.example/x").with_default_tag().to_string(),
            "r.example/x:latest"
        );
        for short in ["debian", "debian:12", "library/debian", "a_b/c"] {
            assert!(
                matches!(Written::parse(short), Ok(Written::Short { .. })),
                "{short}"
            );
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A/..",
            "r.example/../x",
            "r.example/a:b/c",
            "a:",
            "a@",
            "a@sha256:../../x",
            "a b",
            "r.example/A",
            "r..example/a",
            "r.example:99999/a",
            "user@r.example/a",
            "a:-x",
            "r.example/a?b",
            "r.example/a#b",
            "r.example/a%2e",
            "[::1/x",
            "a___b",
            "a._b",
            "-.x/y",
            "r.example:+1/a",
            "r.example:/a:",
        ] {
            assert!(Written::parse(bad).is_err(), "{bad}");
        }
        assert!(Written::parse(&"a".repeat(256)).is_err());
        assert!(Written::parse(&format!("a:{}", "t".repeat(129))).is_err());
    }
}
