//! What unpacks images, compared: windlass-img, umoci, podman, containerd, Docker, and the floor.
//!
//! [`sample`] makes an image of this machine's own files, always the same ones. [`floor`] does what nobody
//! can save: inflate and hash the layers, and write the files. [`contest`] runs command lines alternately
//! and knows nothing of what they do: `scripts/bench-img` says how each program is called.

pub mod contest;
pub mod floor;
pub mod program;
pub mod sample;
