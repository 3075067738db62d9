//! HTTP to servers that we don't trust: bounded answers, bounded waits, redirects followed by hand.
//!
//! Knows nothing of images. The connection itself is ureq's and rustls'.

pub mod client;
pub mod error;
mod patience;
pub mod retry;
pub mod tls;
pub mod url;

pub use client::{Answer, Body, Client, Request};
pub use error::RequestError;
pub use url::Url;
