//! Tests any OCI runtime from outside, each case citing the clause that it checks

fn main() {}
