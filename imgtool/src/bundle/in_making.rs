//! A bundle between its directory and its config.json.

use std::path::Path;

use super::container_record::ContainerRecord;
use super::directory::BundleDirectory;
use crate::layer::rootfs::RootFs;
use crate::layout::document::ImageConfig;
use crate::store::Store;

/// A bundle while config.json is being made: what options and networks may look at and add to.
#[derive(Debug)]
pub(crate) struct BundleInMaking<'a> {
    /// The store that the image is in.
    pub(crate) store: &'a Store,
    /// The image's configuration.
    pub(crate) image: &'a ImageConfig,
    /// The image's root file system. What is written to it goes into the init layer, or with
    /// `--flat` into the tree itself.
    pub(crate) rootfs: &'a mut RootFs,
    /// The bundle's directory: files made in it go with it.
    pub(crate) directory: &'a mut BundleDirectory,
    /// The bundle's directory, as an absolute path.
    pub(crate) path: &'a Path,
    /// What is noted of the bundle, for who removes it and for hooks.
    pub(crate) record: &'a mut ContainerRecord,
}
