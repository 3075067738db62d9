//! Talking to CRIU, which dumps and restores trees of processes: `criu swrk 3` serves one request
//! that comes over its descriptor 3, a sequenced-packet socket, and tells on the way what it has
//! come to (criu.org, "RPC").

pub mod messages;
mod service;
mod settings;
mod wire;

pub use messages::{Features, Flag, Kind, Notification, Number, Options, Word};
pub use service::{Notice, Service, Streams, check_features, check_version};
pub use settings::{CgroupMode, Prepared, Settings};
