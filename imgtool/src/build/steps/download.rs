//! ADD of a URL.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::fmt::rfc2822;
use ureq::http::Method;

use crate::http::client::{Client, Payload, Request};
use crate::http::tls::Trust;
use crate::http::url::Url;
use crate::layer::tar::Timestamp;
use crate::layout::digest::{Digest, Hasher};
use crate::sys::signal;

/// How long a server may be silent.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes of one file.
const LARGEST: u64 = 64 << 30;

/// A file that was fetched.
#[derive(Debug)]
pub struct Download {
    /// What it is.
    pub file: File,
    /// Its digest.
    pub digest: Digest,
    /// When the server says that it was changed last.
    pub modified: Option<Timestamp>,
    /// The last component of its address.
    pub name: String,
}

/// Whether a source of ADD is an address, not a path.
pub fn is_address(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Whether it is a git repository's.
pub fn is_repository(source: &str) -> bool {
    let path = source.split(['#', '?']).next().unwrap_or_default();
    source.starts_with("git@")
        || source.starts_with("git://")
        || source.starts_with("ssh://")
        || is_address(source) && path.rsplit_once('.').is_some_and(|(_, end)| end == "git")
}

/// Fetches a file into `directory`; what it has to be is checked.
pub fn fetch(address: &str, checksum: Option<&str>, directory: &Path) -> Result<Download> {
    let (secure, rest) = match address.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => bail!("'{}' is no http or https address", address.escape_debug()),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = match rest.find(['/', '?']) {
        Some(at) => (&rest[..at], rest[at..].to_owned()),
        None => (rest, "/".to_owned()),
    };
    if authority.contains('@') {
        bail!(
            "an address can't hold a user's name: everybody could read it in the image's history"
        );
    }
    let wanted: Option<Digest> = checksum
        .map(|text| {
            text.parse()
                .with_context(|| format!("--checksum={}", text.escape_debug()))
        })
        .transpose()?;
    let path = target.split('?').next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let url = Url::new(secure, authority, &target)?;
    let trust = Trust {
        insecure: false,
        directories: Vec::new(),
    };
    let client = Client::new(authority, trust, IDLE);
    let mut answer = client.send(Request {
        method: Method::GET,
        url,
        headers: Vec::new(),
        authorization: None,
        payload: Payload::None,
    })?;
    if answer.status != 200 {
        return Err(answer.into_error());
    }
    let modified = answer.header("last-modified").and_then(http_date);
    let mut file = tempfile::tempfile_in(directory).context("make a file for a download")?;
    let algorithm = wanted
        .as_ref()
        .map_or(crate::layout::digest::Algorithm::Sha256, Digest::algorithm);
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; 256 << 10];
    let mut length: u64 = 0;
    loop {
        signal::check()?;
        let count = answer
            .body
            .read(&mut buffer)
            .with_context(|| address.to_owned())?;
        if count == 0 {
            break;
        }
        length += count as u64;
        if length > LARGEST {
            bail!("{address} is larger than {LARGEST} bytes");
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count])
            .context("write a download")?;
    }
    let digest = hasher.finish();
    if let Some(wanted) = wanted
        && wanted != digest
    {
        bail!("{address} is {digest}, not {wanted}");
    }
    file.seek(SeekFrom::Start(0)).context("lseek")?;
    Ok(Download {
        file,
        digest,
        modified,
        name,
    })
}

/// An HTTP date (RFC 9110 section 5.6.7), which is one of RFC 2822's.
fn http_date(text: &str) -> Option<Timestamp> {
    let time = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp {
        seconds: time.as_second(),
        nanoseconds: 0,
    })
}
