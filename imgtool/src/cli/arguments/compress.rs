//! `--compress`.

use clap::{Args, ValueEnum};

use crate::layout::edit::ImageEdit;
use crate::layout::media::Compression;

/// How a new layer is compressed.
#[derive(Debug, Args)]
pub struct CompressArguments {
    /// How to compress the new layer; auto: as the image's other layers are, or else gzip.
    #[arg(long, value_name = "ALGORITHM", default_value = "auto")]
    compress: Algorithm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    Auto,
    None,
    Gzip,
    Zstd,
}

impl CompressArguments {
    /// What to use for a layer of `image`.
    pub fn choose(&self, image: &ImageEdit) -> Compression {
        match self.compress {
            Algorithm::Auto => image.usual_compression(),
            Algorithm::None => Compression::None,
            Algorithm::Gzip => Compression::Gzip,
            Algorithm::Zstd => Compression::Zstd,
        }
    }
}
