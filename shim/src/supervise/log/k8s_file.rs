//! The form that the kubelet, conmon and podman share: `TIME STREAM F|P LINE`, one record a line
//! (Kubernetes, "CRI Log Format").
//!
//! `TIME` is RFC 3339 with nanoseconds in UTC, the same for all that was read at once. `P` says that
//! the line goes on in the next record of the same stream: it was longer than
//! [`MAX_RECORD`](super::MAX_RECORD), or its end had not been written yet when the bytes arrived.

use super::file::LogFile;
use super::lines::pieces;
use crate::supervise::Source;

/// Writes `bytes` as records. The last one is partial if they don't end with a newline.
pub(super) fn write(file: &mut LogFile, source: Source, bytes: &[u8]) {
    let stamp = format!("{} {} ", super::now(), source.name());
    let (full, partial) = (stamp.clone() + "F ", stamp + "P ");
    let mut at = 0;
    for (piece, ended) in pieces(bytes) {
        // Records are short, and copying is most of the work: a line is copied with its newline.
        let text = &bytes[at..at + piece.len() + usize::from(ended)];
        at += text.len();
        if ended {
            file.record(full.as_bytes(), text, b"");
        } else {
            file.record(partial.as_bytes(), text, b"\n");
        }
    }
}
