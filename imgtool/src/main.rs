//! Gets, makes and keeps OCI images, and unpacks their layers into an OCI bundle

fn main() {}
