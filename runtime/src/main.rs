//! An OCI runtime: create, start, kill and delete containers from an OCI bundle

fn main() {}
