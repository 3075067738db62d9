//! Options that several verbs have, umoci's spelling of them unchanged.

mod access;
mod apply;
mod change;
mod compress;
mod digest_file;
mod history;
mod layout;
mod mapping;
mod memory;
mod platform;
mod runtime;
mod store;

pub use access::{Access, BothAccess, Connection, DestinationAccess, SourceAccess};
pub use apply::ApplyArguments;
pub use change::ChangeArguments;
pub use compress::CompressArguments;
pub use digest_file::write_digest_file;
pub use history::HistoryArguments;
pub use layout::layout_path;
pub use mapping::MappingArguments;
pub use memory::MemoryArguments;
pub use platform::PlatformArguments;
pub use runtime::RuntimeArguments;
pub use store::StoreArguments;
