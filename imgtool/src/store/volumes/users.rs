//! Which bundles use which volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use super::VolumeName;
use crate::store::Store;
use crate::store::whereabouts::Whereabouts;

/// The directories of the bundles that use each volume; a volume that nobody uses isn't there.
pub type Users = BTreeMap<VolumeName, Vec<PathBuf>>;

impl Store {
    /// Which bundles use which volumes: what their records say. One that is being made counts as
    /// soon as it has volumes, since these are locked until it says so.
    pub fn users_of_volumes(&self) -> Result<Users> {
        let mut users = Users::new();
        for (reference, _) in self.bundles()? {
            let (path, volumes) = match reference.find()? {
                Whereabouts::At(path, record) => (path, record.volumes),
                Whereabouts::Unreachable => (reference.path, reference.volumes),
                Whereabouts::Gone => continue,
            };
            for name in volumes {
                users.entry(name).or_default().push(path.clone());
            }
        }
        Ok(users)
    }
}
