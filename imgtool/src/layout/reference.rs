//! `LAYOUT[:TAG]`, umoci's way to name an image on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An image in a layout, as the caller names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The layout's directory.
    pub layout: PathBuf,
    /// The tag, `latest` unless given.
    pub tag: String,
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.layout.display(), self.tag)
    }
}

/// A name that isn't `LAYOUT[:TAG]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Nothing before the colon.
    #[error("the layout's path is empty")]
    NoPath,
    /// Not a tag.
    #[error("'{0}' is not a tag (letters and digits, separated by one of -._:@+/ or --)")]
    Tag(String),
}

impl FromStr for ImageReference {
    type Err = InvalidReference;

    /// The tag begins after the first colon, as umoci has it: a layout's path can't hold one.
    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let (layout, tag) = text.split_once(':').unwrap_or((text, "latest"));
        if layout.is_empty() {
            return Err(InvalidReference::NoPath);
        }
        Ok(ImageReference {
            layout: PathBuf::from(layout),
            tag: checked_tag(tag)?,
        })
    }
}

/// Checks a tag by image-spec's grammar (annotations.md, `org.opencontainers.image.ref.name`).
pub fn checked_tag(tag: &str) -> Result<String, InvalidReference> {
    if tag.split('/').all(is_component) {
        Ok(tag.to_owned())
    } else {
        Err(InvalidReference::Tag(tag.escape_debug().to_string()))
    }
}

/// `alphanum (separator alphanum)*`, where a separator is one of `-._:@+` or `--`.
fn is_component(component: &str) -> bool {
    let separator = |character| "-._:@+".contains(character);
    // "---" becomes "--", which has an empty part between.
    component
        .replace("--", "-")
        .split(separator)
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_at_the_first_colon() {
        let reference: ImageReference = "dir/layout:debian:12".parse().unwrap();
        assert_eq!(reference.layout, PathBuf::from("dir/layout"));
        assert_eq!(reference.tag, "debian:12");
        assert_eq!("layout".parse::<ImageReference>().unwrap().tag, "latest");
        assert_eq!(
            ":tag".parse::<ImageReference>(),
            Err(InvalidReference::NoPath)
        );
        assert!("layout:".parse::<ImageReference>().is_err());
    }

    #[test]
    fn tags_follow_the_grammar() {
        for tag in ["latest", "1.0", "a--b", "docker.io/library/x:1", "v1+2@3"] {
            assert!(checked_tag(tag).is_ok(), "{tag}");
        }
        for tag in [
            "", "-a", "a-", "a..b", "a---b", "a//b", "a b", "a\n", "../x", "é",
        ] {
            assert!(checked_tag(tag).is_err(), "{tag}");
        }
    }
}
