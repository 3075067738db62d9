//! Which bundles use which volumes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;

use super::VolumeName;
use crate::bundle::container_record::ContainerRecord;
use crate::store::Store;

/// The directories of the bundles that use each volume; a volume that nobody uses isn't there.
pub type Users = BTreeMap<VolumeName, Vec<PathBuf>>;

impl Store {
    /// Which bundles use which volumes: what their records say. One that is being made counts as
    /// soon as it has volumes, since these are locked until it says so.
    pub fn users_of_volumes(&self) -> Result<Users> {
        let mut users = Users::new();
        for (reference, _) in self.bundles()? {
            let record = ContainerRecord::read(&reference.path)?;
            // A bundle that was removed by other means, or another in its place, uses nothing.
            let Some(record) = record.filter(|record| record.id == reference.id) else {
                continue;
            };
            for name in record.volumes {
                users.entry(name).or_default().push(reference.path.clone());
            }
        }
        Ok(users)
    }
}
