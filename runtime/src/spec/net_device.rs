//! `linux.netDevices` (config-linux.md, "Network Devices").

use serde::Deserialize;

use super::{Text, null_is_default};

/// One network device; its key is its name on the host.
#[derive(Debug, Default, Deserialize)]
pub struct NetDevice<'a> {
    /// Its name in the container, which may end in `%d`; empty: the same.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub name: Text<'a>,
}
