//! Layers with a table of contents, from which single files can be fetched: eStargz (gzip) and
//! zstd:chunked. We read them as the gzip or zstd that they are, from beginning to end; the table and
//! what else is in the archive for the fetchers' sake alone is no file of the image.
//!
//! eStargz: containerd/stargz-snapshotter `docs/estargz.md`. zstd:chunked: containers/storage
//! `pkg/chunked/internal/compression.go`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::path::ImagePath;
use super::tar::EntryKind;

/// Whether a blob of `size` bytes ends as layers with a table of contents do. One that ends otherwise
/// has none, even if there are files of those names in it.
pub fn has_table(blob: &File, size: u64) -> std::io::Result<bool> {
    let mut end = [0; LONGEST_FOOTER];
    let length = usize::try_from(size).map_or(end.len(), |size| size.min(end.len()));
    let end = &mut end[..length];
    blob.read_exact_at(end, size - length as u64)?;
    Ok(is_stargz(end) || is_zstd_chunked(end))
}

const LONGEST_FOOTER: usize = 64;

/// The footer is an empty gzip member whose extra field is the table's offset in 16 hexadecimal digits
/// and `STARGZ`; as a subfield `SG` of RFC 1952, or, in the older form, without its head.
fn is_stargz(end: &[u8]) -> bool {
    const SUBFIELD: &[u8] = b"\x1a\x00SG\x16\x00";
    const OLD: &[u8] = b"\x16\x00";
    [(51, SUBFIELD), (47, OLD)].iter().any(|&(length, extra)| {
        let Some(start) = end.len().checked_sub(length) else {
            return false;
        };
        let (header, rest) = end[start..].split_at(10);
        header.starts_with(b"\x1f\x8b\x08\x04")
            && rest
                .strip_prefix(extra)
                .is_some_and(|field| field[16..].starts_with(b"STARGZ"))
    })
}

/// The footer is a skippable frame that ends with this, the case of its letters having varied.
fn is_zstd_chunked(end: &[u8]) -> bool {
    end.last_chunk()
        .is_some_and(|magic: &[u8; 8]| magic.eq_ignore_ascii_case(b"GNUlInUx"))
}

/// Whether an entry of such a layer is there for the fetchers' sake.
pub fn is_about_table(path: &ImagePath, kind: &EntryKind) -> bool {
    const NAMES: [&[u8]; 3] = [
        b"stargz.index.json",
        b".prefetch.landmark",
        b".no.prefetch.landmark",
    ];
    *kind == EntryKind::File && NAMES.contains(&path.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn ends(content: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        has_table(&file, content.len() as u64).unwrap()
    }

    #[test]
    fn footers_are_recognized() {
        let mut stargz =
            b"data\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\x000000000000000004STARGZ".to_vec();
        stargz.extend(b"\x01\0\0\xff\xff\0\0\0\0\0\0\0\0");
        assert!(ends(&stargz));
        assert!(ends(&stargz[4..]));
        assert!(!ends(&stargz[5..]));
        let mut old = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x16\x000000000000000004STARGZ".to_vec();
        old.extend(b"\x01\0\0\xff\xff\0\0\0\0\0\0\0\0");
        assert!(ends(&old));
        assert!(ends(b"...GNUlInUx") && ends(b"GnUlInUx"));
        for other in [&b""[..], b"x", b"GNUlInU", &[0; 100]] {
            assert!(!ends(other));
        }
    }
}
