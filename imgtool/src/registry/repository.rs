//! What a repository holds: manifests, blobs, tags; and deleting them (distribution-spec, "Pull",
//! "Content Discovery", "Content Management").

use std::io::{self, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use ureq::http::Method;

use super::configuration::Endpoint;
use super::credentials;
use super::name::{Version, is_tag};
use super::session::{Call, Session, SessionOptions};
use crate::http::{Answer, Body, RequestError};
use crate::layout::digest::{Algorithm, Digest, Hasher};
use crate::layout::document::Descriptor;
use crate::layout::json;
use crate::layout::raw_document::{MANIFEST_TYPES, RawDocument, media_type_of};

/// Bytes of a manifest; distribution-spec recommends it.
pub const LARGEST_MANIFEST: u64 = 4 << 20;
/// Bytes of a list, all its pages together.
const LARGEST_LIST: u64 = 32 << 20;
/// Bytes of one page of it.
const LARGEST_PAGE: u64 = 4 << 20;
/// Pages, and tags of all of them together.
const MOST_PAGES: usize = 10_000;
const MOST_TAGS: usize = 1_000_000;

/// A repository of a registry.
#[derive(Debug)]
pub struct Repository {
    pub(super) session: Session,
    /// Its path.
    pub path: String,
    /// What reading takes.
    pub(super) pull: String,
    /// What writing takes.
    pub(super) push: String,
}

impl Repository {
    /// A repository at an endpoint. Nothing is sent yet.
    pub fn new(endpoint: &Endpoint, options: &SessionOptions) -> Result<Self> {
        let (host, path) = (&endpoint.name.host, &endpoint.name.repository);
        let who = match &options.credentials {
            Some(known) => known.clone(),
            None => credentials::find(host, path, options.credential_file.as_deref())?,
        };
        Ok(Repository {
            session: Session::new(host, endpoint.insecure, who, options),
            path: path.clone(),
            pull: format!("repository:{path}:pull"),
            push: format!("repository:{path}:pull,push"),
        })
    }

    /// The registry's host and port.
    pub fn host(&self) -> &str {
        &self.session.host
    }

    /// Nothing that fails is tried again from now on.
    pub fn give_up(&self) {
        self.session.retry.give_up();
    }

    pub(super) fn call<'a>(&self, method: Method, scope: &'a str, path: &str) -> Call<'a> {
        Call {
            method,
            path: format!("{}/{path}", self.path),
            scope,
            headers: Vec::new(),
        }
    }

    /// A manifest or an index, verified where its digest is known.
    pub fn manifest(&self, version: &Version) -> Result<RawDocument> {
        self.session.retry.run(|| self.manifest_once(version))
    }

    fn manifest_once(&self, version: &Version) -> Result<RawDocument> {
        let reference = version.reference();
        let mut call = self.call(Method::GET, &self.pull, &format!("manifests/{reference}"));
        call.headers.push(("accept", MANIFEST_TYPES.join(", ")));
        let answer = self.session.call(&call)?;
        if answer.status != 200 {
            return Err(answer.into_error());
        }
        let announced = answer.header("content-type").map(str::to_owned);
        let promised = answer
            .header("docker-content-digest")
            .and_then(|digest| digest.parse::<Digest>().ok());
        let name = answer.call.clone();
        let bytes = answer.document(LARGEST_MANIFEST)?;
        let wanted = version.digest.as_ref().or(promised.as_ref());
        let algorithm = wanted.map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = Hasher::digest(algorithm, &bytes);
        if let Some(wanted) = wanted.filter(|wanted| **wanted != digest) {
            bail!("{name}: the answer is {digest}, not {wanted}");
        }
        let media_type =
            media_type_of(&bytes, announced.as_deref()).with_context(|| name.clone())?;
        Ok(RawDocument {
            bytes,
            media_type,
            digest,
        })
    }

    /// The digest of what a tag or digest names; nothing where there is nothing.
    pub fn resolve(&self, version: &Version) -> Result<Option<Digest>> {
        let reference = version.reference();
        let mut call = self.call(Method::HEAD, &self.pull, &format!("manifests/{reference}"));
        call.headers.push(("accept", MANIFEST_TYPES.join(", ")));
        let answer = self
            .session
            .retry
            .run(|| checked(self.session.call(&call)?, &[200, 404]))?;
        if answer.status == 404 {
            return Ok(None);
        }
        match answer.header("docker-content-digest") {
            Some(digest) => Ok(Some(digest.parse()?)),
            // Not every registry says it.
            None => Ok(Some(self.manifest(version)?.digest)),
        }
    }

    /// Whether there is such a blob.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let call = self.call(Method::HEAD, &self.push, &format!("blobs/{digest}"));
        let answer = self
            .session
            .retry
            .run(|| checked(self.session.call(&call)?, &[200, 404]))?;
        Ok(answer.status == 200)
    }

    /// Reads a blob from `offset` on. When the connection breaks, it is taken up where it broke.
    /// What comes is as long as the descriptor says; its content is for the caller to verify.
    pub fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<BlobReader<'_>> {
        if !descriptor.urls.is_empty() && is_foreign(&descriptor.media_type) {
            bail!(
                "layer {} is a foreign one, kept elsewhere than in the registry ({}): not supported",
                descriptor.digest,
                descriptor.media_type.escape_debug()
            );
        }
        let mut reader = BlobReader {
            repository: self,
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            position: offset,
            body: None,
            tries: 0,
            progress: Progress::new(),
        };
        if offset < descriptor.size {
            self.session.retry.run(|| reader.open())?;
        }
        Ok(reader)
    }

    /// All tags, page by page. They end up in file names, so what isn't one is an error.
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        self.pages("tags/list?n=1000", |bytes| {
            let page: Page = json::parse(bytes).context("not a list of tags")?;
            let page = page.tags.unwrap_or_default();
            if let Some(tag) = page.iter().find(|tag| !is_tag(tag)) {
                let tag: String = tag.chars().take(300).collect();
                bail!("it lists '{}', which is not a tag", tag.escape_debug());
            }
            tags.extend(page);
            if tags.len() > MOST_TAGS {
                bail!("the repository has more than {MOST_TAGS} tags");
            }
            Ok(())
        })?;
        Ok(tags)
    }

    /// Follows `Link: <…>; rel="next"` from page to page (RFC 8288).
    pub(super) fn pages(&self, path: &str, mut add: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let call = self.call(Method::GET, &self.pull, path);
        let mut url = self.session.url(&call.path)?;
        let mut left = LARGEST_LIST;
        for _ in 0..MOST_PAGES {
            let answer = self.session.retry.run(|| {
                let payload = || Ok(crate::http::client::Payload::None);
                checked(self.session.send(&url, &call, payload)?, &[200])
            })?;
            let name = answer.call.clone();
            let next = answer.header("link").and_then(next_page).map(str::to_owned);
            let bytes = answer.document(LARGEST_PAGE)?;
            left = left.checked_sub(bytes.len() as u64).with_context(|| {
                format!("{name}: the list is larger than our limit of {LARGEST_LIST} bytes")
            })?;
            add(&bytes).context(name)?;
            match next {
                Some(next) => url = url.join(&next)?,
                None => return Ok(()),
            }
        }
        bail!("{}/{path} has more than {MOST_PAGES} pages", self.host());
    }

    /// Deletes a manifest by its digest, or a tag.
    pub fn delete(&self, reference: &str) -> Result<()> {
        let scope = format!("repository:{}:delete,pull,push", self.path);
        let call = self.call(Method::DELETE, &scope, &format!("manifests/{reference}"));
        self.session
            .retry
            .run(|| checked(self.session.call(&call)?, &[202, 200, 204]))?;
        Ok(())
    }
}

/// An answer of one of these statuses.
pub(super) fn checked(answer: Answer, statuses: &[u16]) -> Result<Answer> {
    if statuses.contains(&answer.status) {
        Ok(answer)
    } else {
        Err(answer.into_error())
    }
}

/// Whether layers of this media type lie elsewhere (image-spec layer.md, "Non-Distributable
/// Layers"; Docker's schema 2).
pub fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// The address in a `Link` header that leads on.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|link| {
        let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        is_next.then_some(address)
    })
}

/// A blob as it comes.
#[derive(Debug)]
pub struct BlobReader<'a> {
    repository: &'a Repository,
    digest: Digest,
    size: u64,
    position: u64,
    body: Option<Body>,
    /// Tries since it last came on well.
    tries: u32,
    progress: Progress,
}

/// How it comes on, over one connection.
#[derive(Debug)]
struct Progress {
    /// All bytes of this connection.
    all: u64,
    /// When the silence's time began in which `bytes` came.
    since: Instant,
    bytes: u64,
}

/// Bytes a second below which a server keeps us waiting on purpose.
const SLOWEST: u64 = 1024;
/// Bytes after which a broken connection starts the count of tries anew.
const WELL: u64 = 4 << 20;

impl Progress {
    fn new() -> Self {
        Progress {
            all: 0,
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Notes what came. An error, what is wrong, once too little came in the time of a silence.
    fn note(&mut self, count: u64, idle: Duration) -> Result<(), String> {
        self.all += count;
        self.bytes += count;
        let elapsed = self.since.elapsed();
        if elapsed > idle {
            if self.bytes < SLOWEST * idle.as_secs().max(1) {
                let seconds = elapsed.as_secs_f32();
                return Err(format!("only {} bytes in {seconds} s", self.bytes));
            }
            self.since = Instant::now();
            self.bytes = 0;
        }
        Ok(())
    }

    /// Whether it comes on so well that the next break is the first one.
    fn is_well(&self) -> bool {
        self.all >= WELL
    }
}

impl BlobReader<'_> {
    /// Asks for the rest.
    fn open(&mut self) -> Result<()> {
        let repository = self.repository;
        let path = format!("blobs/{}", self.digest);
        let mut call = repository.call(Method::GET, &repository.pull, &path);
        if self.position > 0 {
            call.headers
                .push(("range", format!("bytes={}-", self.position)));
        }
        let mut answer = checked(repository.session.call(&call)?, &[200, 206])?;
        let problem = |problem: String, answer: &Answer| RequestError::Answer {
            call: answer.call.clone(),
            problem,
        };
        let start = match answer.status {
            206 => range_start(answer.header("content-range").unwrap_or_default())
                .filter(|&start| start == self.position)
                .ok_or_else(|| {
                    problem(
                        "it answers with another range than asked for".into(),
                        &answer,
                    )
                })?,
            _ => 0,
        };
        let whole = answer.length().map(|length| start.saturating_add(length));
        if let Some(whole) = whole.filter(|&whole| whole != self.size) {
            let problem = problem(
                format!(
                    "the blob has {whole} bytes, but its descriptor says {}",
                    self.size
                ),
                &answer,
            );
            return Err(problem.into());
        }
        // A server may ignore the range, and then sends all of it again.
        let again = self.position - start;
        let skipped = io::copy(&mut (&mut answer.body).take(again), &mut io::sink())?;
        if skipped != again {
            bail!(self.broken(format!("it ended after {skipped} bytes")));
        }
        self.progress = Progress::new();
        self.body = Some(answer.body);
        Ok(())
    }

    fn broken(&self, problem: String) -> RequestError {
        RequestError::Connection {
            call: format!("GET blob {} of {}", self.digest, self.repository.host()),
            problem,
            may_pass: true,
        }
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Some(body) = &mut self.body else {
            self.open()?;
            return self.read_some(buffer);
        };
        let count = body.read(buffer)?;
        if count == 0 {
            let problem = format!("it ended after {} of {} bytes", self.position, self.size);
            return Err(self.broken(problem).into());
        }
        let idle = self.repository.session.idle;
        if let Err(problem) = self.progress.note(count as u64, idle) {
            return Err(self.broken(problem).into());
        }
        if self.progress.is_well() {
            self.tries = 0;
        }
        Ok(count)
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        // Not one byte more, whatever the server would send.
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        loop {
            match self.read_some(&mut buffer[..length]) {
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) => {
                    self.body = None;
                    let retry = &self.repository.session.retry;
                    if let Err(error) = retry.pause(&mut self.tries, error) {
                        return Err(into_io(error));
                    }
                }
            }
        }
    }
}

/// An error for a reader's caller, who finds the request that failed in it.
fn into_io(error: anyhow::Error) -> io::Error {
    match error.downcast::<RequestError>() {
        Ok(request) => io::Error::other(request),
        Err(error) => io::Error::other(format!("{error:#}")),
    }
}

/// Where a `Content-Range: bytes START-END/SIZE` starts.
fn range_start(header: &str) -> Option<u64> {
    let (start, _) = header.trim().strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_connection_comes_on_well_in_time() {
        let idle = Duration::from_secs(30);
        let mut progress = Progress::new();
        // 100 KB/s.
        for _ in 0..2 {
            assert!(!progress.is_well());
            progress.since -= idle;
            progress.note(3_000_000, idle).unwrap();
        }
        assert!(progress.is_well());
        progress.since -= idle;
        progress.note(1000, idle).unwrap_err();
    }

    #[test]
    fn links_lead_to_the_next_page() {
        assert_eq!(
            next_page(r#"</v2/a/tags/list?last=x&n=2>; rel="next""#),
            Some("/v2/a/tags/list?last=x&n=2")
        );
        assert_eq!(
            next_page(r#"<a>; rel="prev", <b>; x=y; rel=next"#),
            Some("b")
        );
        assert_eq!(next_page("a"), None);
        assert_eq!(range_start("bytes 5-9/10"), Some(5));
        assert_eq!(range_start("bytes */10"), None);
    }
}
