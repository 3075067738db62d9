//! bundle.md.

use super::{Demand, tested, untestable};

pub(super) const DEMANDS: &[Demand] = &[
    tested(
        "bundle/config-json",
        "Filesystem Bundle",
        "This REQUIRED file MUST reside in the root of the bundle directory",
        &[
            "bad-input/no-config",
            "engine-contract/bundle-is-the-directory",
        ],
    ),
    tested(
        "bundle/config-json-name",
        "Filesystem Bundle",
        "and MUST be named `config.json`.",
        &["bad-input/no-config"],
    ),
    untestable(
        "bundle/one-directory",
        "Filesystem Bundle",
        "while these artifacts MUST all be present in a single directory on the local filesystem",
        "binds who makes bundles; root.path may be absolute, so a runtime can't insist on it",
    ),
];
