//! `TRANSPORT:DETAILS`, skopeo's way to say where an image is (containers-transports(5)).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where an image is, as the caller says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `docker://NAME`: in a registry. The name is resolved when it is used.
    Registry(String),
    /// `oci:PATH[:TAG]`: in an image layout.
    Layout(PathBuf, Option<String>),
    /// `oci-archive:PATH[:TAG]`: in a tarred image layout.
    LayoutArchive(PathBuf, Option<String>),
    /// `docker-archive:PATH[:NAME]`: in a tar file of `docker save`.
    DockerArchive(PathBuf, Option<String>),
    /// `dir:PATH`: in files of a directory.
    Directory(PathBuf),
}

/// Not a location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// No transport that we know.
    #[error(
        "'{0}' doesn't begin with a transport: docker://, oci:, oci-archive:, docker-archive: or dir:"
    )]
    Transport(String),
    /// Nothing behind it.
    #[error("'{0}' lacks what follows the transport")]
    Empty(String),
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let unknown = || InvalidLocation::Transport(text.escape_debug().to_string());
        let (transport, rest) = text.split_once(':').ok_or_else(unknown)?;
        let rest = match transport {
            "docker" => rest.strip_prefix("//").ok_or_else(unknown)?,
            "oci" | "oci-archive" | "docker-archive" | "dir" => rest,
            _ => return Err(unknown()),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag.to_owned()).filter(|tag| !tag.is_empty())),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(InvalidLocation::Empty(text.escape_debug().to_string()));
        }
        let path = PathBuf::from(path);
        Ok(match transport {
            "docker" => Location::Registry(rest.to_owned()),
            "oci" => Location::Layout(path, tag),
            "oci-archive" => Location::LayoutArchive(path, tag),
            "docker-archive" => Location::DockerArchive(path, tag),
            _ => Location::Directory(PathBuf::from(rest)),
        })
    }
}

impl Location {
    /// Whether it is an archive that is written to our standard output (`/dev/stdout`): nothing else may
    /// be written there then.
    pub fn is_stdout(&self) -> bool {
        let (Location::LayoutArchive(path, _) | Location::DockerArchive(path, _)) = self else {
            return false;
        };
        let file = rustix::fs::stat(path);
        let stdout = rustix::fs::fstat(rustix::stdio::stdout());
        matches!((file, stdout), (Ok(file), Ok(stdout))
            if (file.st_dev, file.st_ino) == (stdout.st_dev, stdout.st_ino))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, tag) = match self {
            Location::Registry(name) => return write!(f, "docker://{name}"),
            Location::Directory(path) => return write!(f, "dir:{}", path.display()),
            Location::Layout(path, tag) => ("oci", path, tag),
            Location::LayoutArchive(path, tag) => ("oci-archive", path, tag),
            Location::DockerArchive(path, tag) => ("docker-archive", path, tag),
        };
        write!(f, "{transport}:{}", path.display())?;
        match tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_read_as_skopeo_reads_them() {
        for text in [
            "docker://localhost:5000/a/b:1",
            "oci:dir/layout",
            "oci:dir/layout:a:b",
            "oci-archive:x.tar:latest",
            "docker-archive:x.tar:localhost/a:1",
            "dir:with:colon",
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), text);
        }
        let tag = Some("a:b".to_owned());
        assert_eq!("oci:x:a:b".parse(), Ok(Location::Layout("x".into(), tag)));
        for bad in [
            "",
            "x",
            "docker:x",
            "docker://",
            "oci:",
            "oci::tag",
            "ostree:x",
            "dir:",
        ] {
            assert!(bad.parse::<Location>().is_err(), "{bad}");
        }
    }
}
