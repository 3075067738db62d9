//! Putting blobs and manifests into a repository (distribution-spec, "Push").

use std::io::{self, Read};

use anyhow::{Context, Result, bail};
use ureq::http::Method;

use super::name::Version;
use super::repository::{Repository, checked};
use crate::http::client::{OurOwn, Payload};
use crate::http::{Answer, RequestError, Url};
use crate::layout::blob_source::BlobSource;
use crate::layout::digest::{Algorithm, Digest};
use crate::layout::document::Descriptor;
use crate::layout::raw_document::RawDocument;
use crate::layout::verified_reader::{VerifiedReader, read_document};

/// Blobs up to this size go in one request after the upload has begun.
const ONE_REQUEST: u64 = 1 << 20;

/// How blobs are sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct UploadOptions {
    /// The most bytes in one request; all of them unless given.
    pub chunk: Option<u64>,
}

impl Repository {
    /// Takes a blob over from another repository of the same registry; says whether that went.
    pub fn mount(&self, digest: &Digest, from: &str) -> Result<bool> {
        let scope = format!("{} repository:{from}:pull", self.push);
        let path = format!("blobs/uploads/?mount={digest}&from={from}");
        let call = self.call(Method::POST, &scope, &path);
        let answer = self.session.retry.run(|| self.session.call(&call))?;
        match answer.status {
            201 => Ok(true),
            // The registry has begun an upload instead, which we don't need.
            202 => {
                if let Ok(url) = location(&answer) {
                    self.cancel(&url);
                }
                Ok(false)
            }
            // Whatever it dislikes (we may not be allowed to read there), uploading may still go.
            _ => Ok(false),
        }
    }

    /// Uploads a blob. When the connection breaks, it goes on from where the registry got to.
    pub fn upload(
        &self,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        options: UploadOptions,
    ) -> Result<()> {
        let begin = self.call(Method::POST, &self.push, "blobs/uploads/");
        let answer = self.session.retry.run(|| {
            let answer = self
                .session
                .send(&self.session.url(&begin.path)?, &begin, || {
                    Ok(Payload::Bytes(&[]))
                })?;
            checked(answer, &[202])
        })?;
        let least = answer
            .header("oci-chunk-min-length")
            .and_then(|length| length.parse::<u64>().ok());
        let mut upload = Upload {
            repository: self,
            descriptor,
            source,
            url: location(&answer)?,
            sent: 0,
            chunk: options
                .chunk
                .map(|chunk| chunk.max(least.unwrap_or(1)).max(1)),
        };
        let result = if descriptor.size <= ONE_REQUEST && upload.chunk.is_none() {
            self.session.retry.run(|| upload.whole())
        } else {
            upload.in_pieces()
        };
        if result.is_err() {
            self.cancel(&upload.url);
        }
        result
    }

    /// Tells the registry that an upload is over. It forgets it by itself in time.
    fn cancel(&self, url: &Url) {
        let call = self.call(Method::DELETE, &self.push, "blobs/uploads/");
        drop(self.session.send(url, &call, || Ok(Payload::None)));
    }

    /// Puts a manifest or an index, under its digest or a tag.
    pub fn put_manifest(&self, document: &RawDocument, tag: Option<&str>) -> Result<()> {
        let reference = tag.map_or_else(|| document.digest.to_string(), str::to_owned);
        let mut call = self.call(Method::PUT, &self.push, &format!("manifests/{reference}"));
        call.headers
            .push(("content-type", document.media_type.clone()));
        let answer = self.session.retry.run(|| {
            let url = self.session.url(&call.path)?;
            let payload = || Ok(Payload::Bytes(&document.bytes));
            checked(self.session.send(&url, &call, payload)?, &[201, 200, 202])
        })?;
        if let Some(found) = answer.header("docker-content-digest")
            && found != document.digest.to_string()
            && document.digest.algorithm() == Algorithm::Sha256
        {
            bail!(
                "{}: the registry made {} of {}",
                answer.call,
                found.escape_debug(),
                document.digest
            );
        }
        if answer.header("oci-subject").is_none() {
            self.note_referrer(document)?;
        }
        Ok(())
    }

    /// Whether a version is there.
    pub fn has(&self, version: &Version) -> Result<bool> {
        Ok(self.resolve(version)?.is_some())
    }
}

/// Where an upload goes on.
fn location(answer: &Answer) -> Result<Url> {
    let location = answer.header("location");
    let location = location.with_context(|| format!("{}: no Location", answer.call))?;
    Ok(answer.url.join(location)?)
}

/// A blob being uploaded.
struct Upload<'a> {
    repository: &'a Repository,
    descriptor: &'a Descriptor,
    source: &'a dyn BlobSource,
    url: Url,
    sent: u64,
    chunk: Option<u64>,
}

impl Upload<'_> {
    /// All of it with the request that ends the upload.
    fn whole(&mut self) -> Result<()> {
        let content = read_document(self.source.open(0)?, self.descriptor)?;
        self.finish(&content)
    }

    /// Piece by piece, each streamed, then the request that ends it.
    fn in_pieces(&mut self) -> Result<()> {
        let retry = &self.repository.session.retry;
        let mut tries = 0;
        while self.sent < self.descriptor.size {
            let before = self.sent;
            if let Err(error) = self.patch() {
                retry.pause(&mut tries, error)?;
                self.find_out_where()?;
            }
            if self.sent > before {
                tries = 0;
            }
        }
        retry.run(|| self.finish(&[]))
    }

    fn patch(&mut self) -> Result<()> {
        let (repository, size) = (self.repository, self.descriptor.size);
        let left = size - self.sent;
        let length = self.chunk.map_or(left, |chunk| chunk.min(left));
        let mut call = repository.call(Method::PATCH, &repository.push, "blobs/uploads/");
        let kind = "application/octet-stream".to_owned();
        call.headers.push(("content-type", kind));
        // Without it, all of the blob in one request: what Docker sends, and every registry takes.
        if self.chunk.is_some() || self.sent > 0 {
            let range = format!("{}-{}", self.sent, self.sent + length - 1);
            call.headers.push(("content-range", range));
        }
        let answer = repository.session.send(&self.url, &call, || {
            let source = self.source.open(self.sent)?;
            let source: Box<dyn Read> = if length == size {
                // The registry verifies it too, but need not get it first.
                Box::new(VerifiedReader::new(source, self.descriptor))
            } else {
                source
            };
            let source = OwnErrors(source.take(length));
            Ok(Payload::Stream(Box::new(source), length))
        })?;
        let answer = checked(answer, &[202, 201, 204])?;
        self.url = location(&answer)?;
        self.sent += length;
        Ok(())
    }

    /// Asks the registry how far it got.
    fn find_out_where(&mut self) -> Result<()> {
        let repository = self.repository;
        // With the right to push, which a new token may be needed for.
        let call = repository.call(Method::GET, &repository.push, "blobs/uploads/");
        let answer = repository.session.retry.run(|| {
            let answer = repository
                .session
                .send(&self.url, &call, || Ok(Payload::None))?;
            checked(answer, &[204, 202, 200])
        })?;
        if let Ok(url) = location(&answer) {
            self.url = url;
        }
        let range = answer.header("range").unwrap_or("0-0");
        let last = range
            .rsplit_once('-')
            .and_then(|(_, last)| last.parse::<u64>().ok());
        // "0-0" is said of one byte and of none; the next piece begins at the start then.
        self.sent = last
            .filter(|&last| last > 0)
            .map_or(0, |last| last.saturating_add(1));
        if self.sent > self.descriptor.size {
            let problem = format!("it has more than the {} bytes", self.descriptor.size);
            let call = answer.call;
            return Err(RequestError::Answer { call, problem }.into());
        }
        Ok(())
    }

    fn finish(&mut self, content: &[u8]) -> Result<()> {
        let repository = self.repository;
        let mut call = repository.call(Method::PUT, &repository.push, "blobs/uploads/");
        let kind = "application/octet-stream".to_owned();
        call.headers.push(("content-type", kind));
        let digest = self.descriptor.digest.to_string();
        let url = self.url.with_parameter("digest", &digest);
        let payload = || Ok(Payload::Bytes(content));
        let answer = repository.session.send(&url, &call, payload)?;
        checked(answer, &[201, 204])?;
        Ok(())
    }
}

/// Marks errors of what is being sent, so that they aren't taken for the connection's.
struct OwnErrors<R>(R);

impl<R: Read> Read for OwnErrors<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let own = |error: io::Error| io::Error::other(OurOwn(error.into()));
        self.0.read(buffer).map_err(own)
    }
}
