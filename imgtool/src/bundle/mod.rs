//! OCI bundles: a directory with `config.json` and `rootfs`, made from an image
//! (runtime-spec bundle.md, image-spec conversion.md), and the image made from a changed one.

mod annotations;
pub mod commit;
pub mod config;
pub mod container_bundle;
pub mod container_record;
pub mod create;
pub mod diff;
mod directory;
mod host_files;
pub(crate) mod in_making;
mod init_layer;
mod lock;
pub mod options;
pub mod pause;
pub mod record;
pub mod remove;
mod repack;
mod rootless;
pub(crate) mod runtime_config;
mod unpack;
pub(crate) mod user;

pub(crate) use init_layer::make_mount_points;
pub use repack::{RepackOptions, mask, repack};
pub(crate) use unpack::start_layer;
pub use unpack::{UnpackOptions, unpack, unpack_rootfs};
