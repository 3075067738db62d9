//! What images of the store are called: `HOST/REPOSITORY:TAG` or `HOST/REPOSITORY@DIGEST`.

use anyhow::Result;

use crate::layout::reference::checked_tag;
use crate::registry::configuration::Configuration;
use crate::registry::name::{ImageName, InvalidName, Written};

/// The host of images that come from no registry, as podman has it.
const NO_REGISTRY: &str = "localhost";

/// The name under which the store keeps what somebody calls `text`.
pub fn stored_name(text: &str) -> Result<String> {
    let name = full(text)?.with_default_tag().to_string();
    Ok(checked_tag(&name)?)
}

fn full(text: &str) -> Result<ImageName, InvalidName> {
    Ok(match Written::parse(text)? {
        Written::Full(name) => name,
        Written::Short {
            repository,
            version,
        } => ImageName {
            host: NO_REGISTRY.to_owned(),
            repository,
            version,
        },
    })
}

/// The names that somebody may mean, the likeliest first.
pub(super) fn possible_names(text: &str, configuration: &Configuration) -> Vec<String> {
    let resolved = configuration.resolve(text).ok();
    let local = full(text).ok();
    let full_names = [resolved, local].into_iter().flatten();
    let mut names: Vec<String> = full_names
        .map(|name| name.with_default_tag().to_string())
        .collect();
    // Whatever another tool tagged in the layout.
    names.insert(0, text.to_owned());
    names
}

/// The hexadecimal of `[sha256:]HEX`, if it may be the beginning of a digest.
pub(super) fn digest_beginning(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (hex.len() >= 4 && hex.bytes().all(is_hex)).then_some(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_whole() {
        assert_eq!(stored_name("app").unwrap(), "localhost/app:latest");
        assert_eq!(
            stored_name("r.example:5000/a/b:1").unwrap(),
            "r.example:5000/a/b:1"
        );
        let digest = format!("sha256:{}", "0".repeat(64));
        let by_digest = format!("r.example/a@{digest}");
        assert_eq!(stored_name(&by_digest).unwrap(), by_digest);
        assert!(stored_name("a b").is_err());
        assert_eq!(digest_beginning(&digest), Some(&digest[7..]));
        assert_eq!(digest_beginning("abc"), None);
        assert_eq!(digest_beginning("face:1"), None);
    }
}
