//! Control groups: where a container stands in each hierarchy, what is written there, and removal.
