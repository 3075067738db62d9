//! Media types: what a blob claims to be (image-spec media-types.md, Docker's schema 2).

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use super::zstd_frames::ZstdReader;
use crate::memory_budget::MemoryBudget;

/// What a descriptor points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// An image index, or Docker's manifest list.
    Index,
    /// An image manifest.
    Manifest,
    /// An image configuration.
    Config,
    /// A layer.
    Layer(Compression),
    /// Something that we have no use for.
    Other,
}

impl MediaKind {
    /// Reads a media type.
    pub fn of(media_type: &str) -> MediaKind {
        match media_type {
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => MediaKind::Index,
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => MediaKind::Manifest,
            "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json" => MediaKind::Config,
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar" => {
                MediaKind::Layer(Compression::None)
            }
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
                MediaKind::Layer(Compression::Gzip)
            }
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
                MediaKind::Layer(Compression::Zstd)
            }
            _ => MediaKind::Other,
        }
    }
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), one member or many.
    Gzip,
    /// Zstandard (RFC 8878), one frame or many, skippable ones included.
    Zstd,
}

impl Compression {
    /// The media type of an OCI layer that is compressed so.
    pub fn layer_media_type(self) -> &'static str {
        match self {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// What the first bytes of a file say.
    pub fn detect(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            // A frame, or a skippable frame, which zstd:chunked may begin with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// Compares the media type's word with the first bytes.
    pub fn check_magic(self, start: &[u8]) -> io::Result<()> {
        let found = Compression::detect(start);
        if found == self {
            return Ok(());
        }
        let message = format!(
            "the layer's media type says {}, its content is {}",
            self.name(),
            found.name()
        );
        Err(io::Error::other(message))
    }

    fn name(self) -> &'static str {
        match self {
            Compression::None => "uncompressed",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// Compresses what is written to the result into `sink`: the same bytes always the same way.
    pub fn encoder<W: Write>(self, sink: W) -> io::Result<Encoder<W>> {
        Ok(match self {
            Compression::None => Encoder::None(sink),
            // Without name and time, which gzip's header could hold.
            Compression::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(
                sink,
                flate2::Compression::new(6),
            )),
            Compression::Zstd => Encoder::Zstd(zstd::Encoder::new(sink, 3)?),
        })
    }

    /// Undoes the compression. Zstandard's window is memory that the layer asks for, and taken of
    /// `memory`: some MiB as most programs write it, 128 MiB with `zstd --long`. RFC 8878, 3.1.1.1.2 lets
    /// a decoder refuse what is above 8 MiB. gzip's is 32 KiB.
    pub fn decoder<'a, R: BufRead + 'a>(
        self,
        source: R,
        memory: &MemoryBudget,
    ) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Compression::None => Box::new(source),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Compression::Zstd => Box::new(ZstdReader::new(source, memory)?),
        })
    }
}

/// Compresses what is written to it.
pub enum Encoder<W: Write> {
    /// Not at all.
    None(W),
    /// With gzip.
    Gzip(flate2::write::GzEncoder<W>),
    /// With Zstandard.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Ends the compressed stream; returns the sink.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Encoder::None(sink) => Ok(sink),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::None(sink) => sink.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::None(sink) => sink.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }
}

impl<W: Write> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}
