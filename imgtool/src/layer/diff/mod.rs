//! From a tree on disk to a layer: the changes of a bundle's root file system ([`changes`]), an
//! overlay's upper directory ([`overlay`]), or a tree to be inserted ([`insert`]).
//!
//! The same tree gives the same bytes, whatever the machine: entries are sorted by name, the
//! first name of several is the one that has the data, and nothing is written that depends on
//! where the tree is kept (device and inode numbers, access and change times, user names).

pub mod changes;
mod first_names;
pub mod insert;
pub mod overlay;
mod sink;
mod writer;

pub use insert::add_tree;
pub use sink::LayerSink;
pub use writer::{LayerWriter, PackOptions};
