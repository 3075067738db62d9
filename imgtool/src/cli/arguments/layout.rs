//! `--layout`.

use std::path::PathBuf;

/// A layout's path as `--layout` takes it: without a colon, since `--image LAYOUT:TAG` could never
/// name such a layout.
pub fn layout_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("the layout's path is empty".to_owned());
    }
    if text.contains(':') {
        return Err("a layout's path can't hold ':' (a tag is none of its business)".to_owned());
    }
    Ok(PathBuf::from(text))
}
