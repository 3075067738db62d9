//! `linux.resources` (config-linux.md, "Control groups").
