//! Real podman on top of ours.
