//! The log format of conmon and the kubelet: `TIME STREAM F|P LINE`, where P says that the line goes on
//! in the stream's next record.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::pattern::{Received, STREAMS};

/// What a log holds of standard output and standard error.
pub fn read(path: &Path, terminal: bool) -> Result<[Received; 2]> {
    let mut received = STREAMS.map(|stream| Received::nothing(stream, terminal));
    let file = File::open(path).with_context(|| format!("open the log {}", path.display()))?;
    let mut log = BufReader::with_capacity(1 << 20, file);
    let mut record = Vec::new();
    for number in 1.. {
        record.clear();
        if log.read_until(b'\n', &mut record)? == 0 {
            break;
        }
        let mut fields = record.splitn(4, |byte| *byte == b' ');
        let (_, stream, tag, text) = (fields.next(), fields.next(), fields.next(), fields.next());
        let Some(text) = text.and_then(|text| text.strip_suffix(b"\n")) else {
            bail!("record {number} of the log {} is cut", path.display());
        };
        let stream = match stream {
            Some(b"stdout") => &mut received[0],
            Some(b"stderr") => &mut received[1],
            _ => bail!(
                "record {number} of the log {} has no stream",
                path.display()
            ),
        };
        stream.take(text);
        if tag == Some(b"F") {
            stream.take(b"\n");
        }
    }
    Ok(received)
}
