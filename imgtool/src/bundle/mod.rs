//! OCI bundles: a directory with `config.json` and `rootfs`, made from an image
//! (runtime-spec bundle.md, image-spec conversion.md).

mod annotations;
pub mod config;
mod directory;
mod rootless;
mod runtime_config;
mod unpack;
mod user;

pub use unpack::{UnpackOptions, unpack};
