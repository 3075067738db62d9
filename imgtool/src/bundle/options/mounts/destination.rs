//! Where in the container something is put.

use anyhow::{Result, bail};

/// A path of the container as the caller names it: absolute, cleaned as Docker does, and not the
/// root itself.
pub(in super::super) fn absolute(text: &str) -> Result<String> {
    if !text.starts_with('/') {
        bail!("'{text}', the path in the container, is not absolute");
    }
    let mut components: Vec<&str> = Vec::new();
    for component in text.split('/') {
        match component {
            "" | "." => {}
            // The root's parent is the root.
            ".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    if components.is_empty() {
        bail!("'{text}': nothing can be put in the place of the container's root");
    }
    Ok(format!("/{}", components.join("/")))
}

/// A path that can be mounted on: what the kernel shows of a container is the runtime's to mount.
pub(super) fn mountable(text: &str) -> Result<String> {
    let path = absolute(text)?;
    if path == "/proc" || path.starts_with("/proc/") {
        bail!("'{text}': a runtime lets nothing be mounted on /proc or in it");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (text, path) in [("/a", "/a"), ("//a/./b/../c/", "/a/c"), ("/../../a", "/a")] {
            assert_eq!(absolute(text).unwrap(), path);
        }
        for bad in ["", "a", "./a", "/", "/..", "//."] {
            assert!(absolute(bad).is_err(), "{bad}");
        }
        assert!(mountable("/proc/sys").is_err());
        assert!(mountable("/sys/../proc").is_err());
        assert!(mountable("/process").is_ok());
    }
}
