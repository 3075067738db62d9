//! CNI, from the side of the program that has containers ("the runtime" in the specification's words,
//! <https://github.com/containernetworking/cni/blob/main/SPEC.md>): a network's configuration, the
//! plugins that it names, and calling one after the other.

pub mod attach;
pub mod configuration;
pub mod plugin;
pub mod plugin_path;
pub mod result;
