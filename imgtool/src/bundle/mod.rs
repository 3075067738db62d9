//! OCI bundles: a directory with `config.json` and `rootfs`, made from an image
//! (runtime-spec bundle.md, image-spec conversion.md), and the image made from a changed one.

mod annotations;
pub mod config;
mod directory;
pub mod record;
mod repack;
mod rootless;
mod runtime_config;
mod unpack;
mod user;

pub use repack::{RepackOptions, mask, repack};
pub use unpack::{UnpackOptions, unpack, unpack_rootfs};
