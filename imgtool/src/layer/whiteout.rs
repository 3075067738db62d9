//! Whiteouts: names that say "what the lower layers have here is gone" (image-spec layer.md,
//! "Whiteouts").

use super::path::ImagePath;
use super::tar::EntryKind;

const PREFIX: &[u8] = b".wh.";
/// The name of the file that makes its directory opaque.
pub const OPAQUE: &[u8] = b".wh..wh..opq";

/// Whether a name means something else than a file.
pub fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// The name of the file that hides `name`.
pub fn of(name: &[u8]) -> Vec<u8> {
    [PREFIX, name].concat()
}

/// What a whiteout hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whiteout {
    /// One name in a directory.
    Name {
        /// The directory.
        directory: ImagePath,
        /// What is gone from it.
        name: Vec<u8>,
    },
    /// All that the lower layers have in a directory.
    Opaque {
        /// The directory.
        directory: ImagePath,
    },
}

/// A name with the whiteout prefix that is no whiteout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWhiteout {
    /// A file below a whiteout: `.wh..wh..opq/x`.
    #[error("{0}: a component that begins with '.wh.' can't be a directory")]
    Directory(ImagePath),
    /// `.wh.`, `.wh..`, `.wh...` or a whiteout of a whiteout.
    #[error("{0}: not the name of a file that a whiteout could remove")]
    Target(ImagePath),
    /// Whiteouts are regular files.
    #[error("{0}: a whiteout has to be a regular file")]
    Kind(ImagePath),
}

impl Whiteout {
    /// The whiteout that an entry is, if it is one.
    pub fn of(path: &ImagePath, kind: &EntryKind) -> Result<Option<Whiteout>, InvalidWhiteout> {
        let Some((directory, last)) = path.split_last() else {
            return Ok(None);
        };
        if directory.components().any(is_reserved) {
            return Err(InvalidWhiteout::Directory(path.clone()));
        }
        let Some(name) = last.strip_prefix(PREFIX) else {
            return Ok(None);
        };
        // Old Docker made whiteouts as hard links to one empty file.
        if !matches!(kind, EntryKind::File | EntryKind::HardLink(_)) {
            return Err(InvalidWhiteout::Kind(path.clone()));
        }
        if last == OPAQUE {
            return Ok(Some(Whiteout::Opaque { directory }));
        }
        if matches!(name, b"" | b"." | b"..") || name.starts_with(PREFIX) {
            return Err(InvalidWhiteout::Target(path.clone()));
        }
        Ok(Some(Whiteout::Name {
            directory,
            name: name.to_vec(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whiteout(name: &str) -> Result<Option<Whiteout>, InvalidWhiteout> {
        Whiteout::of(
            &ImagePath::parse(name.as_bytes()).unwrap(),
            &EntryKind::File,
        )
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        let directory = ImagePath::parse(b"a").unwrap();
        let name = b"x".to_vec();
        assert_eq!(
            whiteout("a/.wh.x"),
            Ok(Some(Whiteout::Name {
                directory: directory.clone(),
                name
            }))
        );
        assert_eq!(
            whiteout("a/.wh..wh..opq"),
            Ok(Some(Whiteout::Opaque { directory }))
        );
        assert_eq!(whiteout("a/wh.x"), Ok(None));
        assert_eq!(whiteout("."), Ok(None));
    }

    #[test]
    fn invalid_whiteouts_are_refused() {
        for name in [
            ".wh.",
            ".wh..",
            ".wh...",
            "a/.wh..wh..plnk",
            ".wh..wh..opq/x",
            ".wh.a/b",
        ] {
            assert!(whiteout(name).is_err(), "{name}");
        }
        let path = ImagePath::parse(b".wh.x").unwrap();
        for kind in [
            EntryKind::Directory,
            EntryKind::Symlink(b"y".to_vec()),
            EntryKind::Fifo,
        ] {
            assert!(Whiteout::of(&path, &kind).is_err());
        }
    }
}
