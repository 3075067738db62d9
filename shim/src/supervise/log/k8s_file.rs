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
    for (piece, ended) in pieces(bytes) {
        let start = if ended { &full } else { &partial };
        file.record(start.as_bytes(), piece, b"\n");
    }
}
