//! Layers: tar archives of changes, applied to a root file system in order (image-spec layer.md).

mod added;
pub mod apply;
pub mod diff;
mod hash_set;
pub mod ids;
pub mod inode;
pub mod limits;
pub mod listing;
pub mod lower;
pub mod metadata;
pub mod path;
pub mod path_list;
pub mod rootfs;
pub mod stream;
pub mod tar;
pub mod toc;
pub mod whiteout;
