//! Compares OCI runtimes with each other and with the kernel's own floor

fn main() {}
