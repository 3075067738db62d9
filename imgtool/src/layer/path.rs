//! Paths that an image names: always relative to its root, never a host path.

use std::fmt;

/// What is wrong with a path that an archive names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// An empty name (POSIX pax, "ustar Interchange Format": a name has at least one character).
    #[error("the name is empty")]
    Empty,
    /// A NUL byte, which no file system can hold and which C readers would cut at.
    #[error("the name holds a NUL byte")]
    Nul,
    /// A `..` component: the way out of the root.
    #[error("the name has a '..' component")]
    ParentComponent,
    /// A component longer than `NAME_MAX`.
    #[error("a component of the name is longer than 255 bytes")]
    ComponentTooLong,
    /// The whole is longer than `PATH_MAX`.
    #[error("the name is longer than 4095 bytes")]
    TooLong,
    /// More directories deep than a descriptor-held walk (and its removal) may go.
    #[error("the name is more than 256 directories deep")]
    TooDeep,
}

/// `NAME_MAX`, linux/limits.h.
const LONGEST_COMPONENT: usize = 255;
/// `PATH_MAX` less the NUL, linux/limits.h.
const LONGEST_PATH: usize = 4095;
/// How many directories deep a root file system may go. Removal holds one descriptor a level.
pub const DEEPEST_PATH: usize = 256;

/// A path below an image's root: components joined by single slashes, none of them empty, `.` or
/// `..`, no NUL. The root itself is the empty path.
///
/// This type is the only way from an image's bytes to a file: host paths are `std::path::Path`
/// and come from the caller alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ImagePath(Vec<u8>);

impl ImagePath {
    /// The root of the image.
    pub fn root() -> Self {
        ImagePath(Vec::new())
    }

    /// Reads a name out of an archive. Leading slashes, repeated slashes, `.` components and a
    /// trailing slash mean nothing; `..` is refused rather than resolved.
    pub fn parse(name: &[u8]) -> Result<Self, PathError> {
        if name.is_empty() {
            return Err(PathError::Empty);
        }
        if name.contains(&0) {
            return Err(PathError::Nul);
        }
        let mut path = Vec::with_capacity(name.len());
        let mut depth = 0;
        for component in name.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(PathError::ParentComponent),
                _ if component.len() > LONGEST_COMPONENT => {
                    return Err(PathError::ComponentTooLong);
                }
                _ => {}
            }
            if depth > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(component);
            depth += 1;
        }
        if path.len() > LONGEST_PATH {
            return Err(PathError::TooLong);
        }
        if depth > DEEPEST_PATH {
            return Err(PathError::TooDeep);
        }
        Ok(ImagePath(path))
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path's bytes, without a leading slash; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The directory and the last component; nothing for the root.
    pub fn split_last(&self) -> Option<(ImagePath, &[u8])> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (ImagePath(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (ImagePath::root(), &self.0[..]),
        })
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
    }

    /// The path of `name` in this directory. `name` is a component that came from an
    /// [`ImagePath`] or from the kernel.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> ImagePath {
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        if !self.is_root() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        ImagePath(path)
    }

    /// Whether `self` lies below `directory` (a path doesn't lie below itself).
    pub fn is_below(&self, directory: &ImagePath) -> bool {
        directory.is_root() && !self.is_root()
            || self.0.len() > directory.0.len()
                && self.0.starts_with(&directory.0)
                && self.0[directory.0.len()] == b'/'
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> String {
        ImagePath::parse(name.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for name in ["a/b", "/a/b", "./a/./b/", "//a//b//"] {
            assert_eq!(parsed(name), "/a/b");
        }
        for name in [".", "/", "./.", "//"] {
            assert!(ImagePath::parse(name.as_bytes()).unwrap().is_root());
        }
    }

    #[test]
    fn the_way_out_is_refused() {
        for name in ["..", "../x", "a/..", "a/../b", "/.."] {
            assert_eq!(
                ImagePath::parse(name.as_bytes()),
                Err(PathError::ParentComponent)
            );
        }
        assert_eq!(ImagePath::parse(b"a\0b"), Err(PathError::Nul));
        assert_eq!(ImagePath::parse(b""), Err(PathError::Empty));
        assert_eq!(
            ImagePath::parse(&[b'a'; 256]),
            Err(PathError::ComponentTooLong)
        );
        assert_eq!(
            ImagePath::parse("a/".repeat(257).as_bytes()),
            Err(PathError::TooDeep)
        );
        assert_eq!(
            ImagePath::parse(vec!["b".repeat(200); 21].join("/").as_bytes()),
            Err(PathError::TooLong)
        );
    }

    #[test]
    fn below_is_by_component() {
        let path = |name: &[u8]| ImagePath::parse(name).unwrap();
        assert!(path(b"a/b").is_below(&path(b"a")));
        assert!(path(b"a").is_below(&ImagePath::root()));
        assert!(!path(b"ab").is_below(&path(b"a")));
        assert!(!path(b"a").is_below(&path(b"a")));
    }
}
