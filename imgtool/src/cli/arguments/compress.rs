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
    /// What the caller chose; nothing for `auto`.
    pub fn chosen(&self) -> Option<Compression> {
        match self.compress {
            Algorithm::Auto => None,
            Algorithm::None => Some(Compression::None),
            Algorithm::Gzip => Some(Compression::Gzip),
            Algorithm::Zstd => Some(Compression::Zstd),
        }
    }

    /// What to use for a layer of `image`.
    pub fn choose(&self, image: &ImageEdit) -> Compression {
        self.chosen().unwrap_or_else(|| image.usual_compression())
    }
}
