//! Output as lines, and lines as records of bounded length.

use crate::supervise::Source;

/// The longest piece of a line in one record, in bytes (containerd's `max_container_log_line_size`,
/// and what Docker's drivers cut at).
pub const MAX_RECORD: usize = 16 * 1024;

/// How many bytes at the end of `bytes` are the beginning of a record that isn't complete yet.
pub(super) fn unfinished(bytes: &[u8]) -> usize {
    let after_lines = bytes.len() - memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
    match after_lines {
        0 => 0,
        // Exactly MAX_RECORD bytes stay: their newline may be the next byte.
        length => (length - 1) % MAX_RECORD + 1,
    }
}

/// `bytes` as pieces of lines: each at most [`MAX_RECORD`] long and without its newline, and whether
/// its line ends with it.
pub(super) fn pieces(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    // Lines are short as a rule: one search for all is faster than one for each.
    let mut ends = memchr::memchr_iter(b'\n', bytes);
    let mut end = ends.next();
    let mut at = 0;
    std::iter::from_fn(move || match end {
        Some(newline) if newline - at <= MAX_RECORD => {
            let piece = &bytes[at..newline];
            at = newline + 1;
            end = ends.next();
            Some((piece, true))
        }
        _ if at < bytes.len() => {
            let piece = &bytes[at..bytes.len().min(at + MAX_RECORD)];
            at += piece.len();
            Some((piece, false))
        }
        _ => None,
    })
}

/// Keeps the beginnings of lines until they go on, for logs whose records are whole lines.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// Of stdout and of stderr; at most [`MAX_RECORD`] each.
    kept: [Vec<u8>; 2],
}

impl Joiner {
    /// Gives `record` every record that `bytes` complete, and whether its line ends with it.
    pub(super) fn join(
        &mut self,
        source: Source,
        bytes: &[u8],
        mut record: impl FnMut(&[u8], bool),
    ) {
        let kept = &mut self.kept[source as usize];
        for (piece, ended) in pieces(bytes) {
            if kept.is_empty() && (ended || piece.len() == MAX_RECORD) {
                record(piece, ended);
                continue;
            }
            kept.extend_from_slice(piece);
            if kept.len() > MAX_RECORD {
                record(&kept[..MAX_RECORD], false);
                kept.drain(..MAX_RECORD);
            }
            if ended {
                record(kept, true);
                *kept = Vec::new();
            }
        }
    }

    /// The beginning of a line that won't go on.
    pub(super) fn end(&mut self, source: Source) -> Vec<u8> {
        std::mem::take(&mut self.kept[source as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8]) -> Vec<(usize, bool)> {
        pieces(bytes)
            .map(|(piece, ended)| (piece.len(), ended))
            .collect()
    }

    #[test]
    fn lines_are_cut_at_the_longest_record() {
        assert_eq!(cut(b"one\n\ntwo"), [(3, true), (0, true), (3, false)]);
        assert_eq!(cut(b""), []);
        let mut line = vec![b'x'; MAX_RECORD];
        assert_eq!(
            (cut(&line), unfinished(&line)),
            (vec![(MAX_RECORD, false)], MAX_RECORD)
        );
        line.push(b'\n');
        assert_eq!(
            (cut(&line), unfinished(&line)),
            (vec![(MAX_RECORD, true)], 0)
        );
        line.insert(0, b'y');
        assert_eq!(cut(&line), [(MAX_RECORD, false), (1, true)]);
        line.pop();
        assert_eq!(unfinished(&line), 1);
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_one_record() {
        let mut joiner = Joiner::default();
        let mut records = Vec::new();
        let mut join = |source, bytes: &[u8]| {
            joiner.join(source, bytes, |text, ended| {
                records.push((String::from_utf8(text.to_vec()).unwrap(), ended));
            });
        };
        join(Source::Stdout, b"a\nb");
        join(Source::Stderr, b"other\n");
        join(Source::Stdout, b"");
        join(Source::Stdout, b"c\nlast");
        let long = "x".repeat(MAX_RECORD - 4);
        join(Source::Stdout, long.as_bytes());
        join(Source::Stdout, b"yz");
        join(Source::Stdout, b"\nend");
        let whole = [("a", true), ("other", true), ("bc", true)];
        let expected: Vec<_> = whole
            .map(|(text, ended)| (text.to_owned(), ended))
            .into_iter()
            .chain([(format!("last{long}"), false), ("yz".to_owned(), true)])
            .collect();
        assert_eq!(records, expected);
        assert_eq!(joiner.end(Source::Stdout), b"end");
        assert_eq!(joiner.end(Source::Stdout), b"");
    }
}
