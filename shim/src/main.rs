//! Supervises a container's process and its standard streams

fn main() {}
