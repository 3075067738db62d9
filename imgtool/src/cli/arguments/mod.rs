//! Options that several verbs have, umoci's spelling of them unchanged.

mod compress;
mod history;
mod layout;
mod mapping;

pub use compress::CompressArguments;
pub use history::HistoryArguments;
pub use layout::layout_path;
pub use mapping::MappingArguments;
