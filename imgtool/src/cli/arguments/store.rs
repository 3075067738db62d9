//! `--store`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::store::{Store, default_path};

/// Where this host's images are.
#[derive(Debug, Args)]
pub struct StoreArguments {
    /// The store's directory: /var/lib/windlass for root, otherwise $XDG_DATA_HOME/windlass,
    /// unless given.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl StoreArguments {
    /// Opens it.
    pub fn open(&self) -> Result<Store> {
        Store::open(&self.path()?)
    }

    /// Opens it to remove blobs.
    pub fn open_to_collect(&self) -> Result<Store> {
        Store::open_to_collect(&self.path()?)
    }

    /// Where it is.
    pub fn path(&self) -> Result<PathBuf> {
        self.store.clone().map_or_else(default_path, Ok)
    }
}
