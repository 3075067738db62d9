//! Unpacked layers, shared by all containers whose images have them: `layers/ALGORITHM/CHAIN`, each
//! the directory that an overlay takes for one layer (whiteouts are character devices 0:0).
//!
//! A layer is called by its chainID (image-spec config.md, "Layer ChainID"): what is in it depends on
//! the layers below it, since an archive may write through their symbolic links and link to their
//! files. It is there whole, or not there: it is made beside, and renamed when it is on disk.
//!
//! `gc` keeps what an image or a bundle needs; whoever opens the store keeps `gc` waiting.

mod adopt;
mod collect;
mod compare;
mod unpack;
mod verify;

use std::path::PathBuf;

use crate::layout::digest::{Algorithm, Digest, Hasher};
use crate::overlay::Overlay;

pub use compare::Difference;
pub use unpack::{Coming, can_share_layers, copy_directory_metadata};
pub use verify::LayersVerified;

/// The store's directory of unpacked layers.
const LAYERS: &str = "layers";

/// The unpacked layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerChain {
    /// Their chainIDs, the lowest first; the last stands for all of them.
    pub ids: Vec<Digest>,
    /// Where they are, the lowest first.
    pub directories: Vec<PathBuf>,
}

impl LayerChain {
    /// An overlay of these layers, `above` on top of them, and `upper` to write to.
    pub fn overlay(&self, above: Option<PathBuf>, upper: PathBuf, work: PathBuf) -> Overlay {
        let layers = self.directories.iter().rev().cloned();
        Overlay {
            lowers: above.into_iter().chain(layers).collect(),
            upper,
            work,
        }
    }
}

/// The chainIDs of layers, the lowest first, of their diffIDs.
pub fn chain_ids<'a>(diff_ids: impl IntoIterator<Item = &'a Digest>) -> Vec<Digest> {
    let mut ids: Vec<Digest> = Vec::new();
    for diff_id in diff_ids {
        ids.push(next_chain_id(ids.last(), diff_id));
    }
    ids
}

/// The chainID of a layer on top of others.
pub fn next_chain_id(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    match below {
        None => diff_id.clone(),
        Some(below) => Hasher::digest(Algorithm::Sha256, format!("{below} {diff_id}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_hashed_as_the_specification_says() {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64)).parse().unwrap();
        let diff_ids: [Digest; 2] = [digest("1"), digest("2")];
        let ids = chain_ids(&diff_ids);
        assert_eq!(ids[0], diff_ids[0]);
        let text = format!("{} {}", diff_ids[0], diff_ids[1]);
        assert_eq!(ids[1], Hasher::digest(Algorithm::Sha256, text.as_bytes()));
    }
}
