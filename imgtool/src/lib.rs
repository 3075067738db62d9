//! The parts of windlass-img, from the command line ([`cli`]) down: an image layout is read and
//! filled ([`layout`], [`load`]), its layers are applied ([`layer`]), and a bundle comes out
//! ([`bundle`]).
//!
//! Rule 5 of the design shows in the types: what an image names is an `ImagePath`, a `Digest`, an
//! `ImageConfig`; what the caller decides is in the `…Options` types and `std::path::Path`.

mod boot;
pub mod build;
pub mod bundle;
pub mod cli;
pub mod copy;
pub mod date;
mod flock;
pub mod http;
pub mod layer;
pub mod layout;
pub mod load;
pub mod memory_budget;
pub mod mtree;
pub mod network;
pub mod overlay;
pub mod programs;
pub mod progress;
mod random_name;
mod read_at_most;
pub mod registry;
pub mod runtime;
pub mod size;
pub mod store;
pub mod sys;
pub mod transport;
pub mod warnings;
