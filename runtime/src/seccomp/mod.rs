//! Seccomp: from the profile in config.json to one short BPF program.
