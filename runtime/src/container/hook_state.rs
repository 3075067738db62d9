//! The state that hooks read on their standard input (runtime.md, "State").

use std::collections::BTreeMap;

use serde::Serialize;

use crate::spec::Text;

/// What of it stays the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct HookState<'a> {
    /// ociVersion of config.json.
    pub oci_version: &'a str,
    /// The container's id.
    pub id: &'a str,
    /// The bundle, absolute.
    pub bundle: &'a str,
    /// The container's annotations.
    pub annotations: Option<&'a BTreeMap<Text<'a>, Text<'a>>>,
}

/// The whole of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    bundle: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<Text<'a>, Text<'a>>>,
}

impl<'a> HookState<'a> {
    /// The JSON, for a container in this status; `pid` 0 means that it has no process any more.
    pub fn json(&self, status: &str, pid: u32) -> String {
        serde_json::to_string(&self.at(status, pid)).unwrap_or_default()
    }

    /// The same before it is JSON.
    pub(super) fn at(&self, status: &'a str, pid: u32) -> State<'a> {
        State {
            oci_version: self.oci_version,
            id: self.id,
            status,
            pid: (pid != 0).then_some(pid),
            bundle: self.bundle,
            annotations: self
                .annotations
                .filter(|annotations| !annotations.is_empty()),
        }
    }
}
