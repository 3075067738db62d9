//! HTTP to servers that we don't trust: bounded answers, bounded waits, redirects followed by hand.
//!
//! Knows nothing of images. The connection itself is ureq's, its TLS rustls'.

mod certificate_check;
pub mod client;
pub mod error;
mod patience;
pub mod retry;
pub mod tls;
mod tls_connection;
pub mod url;

pub use client::{Answer, Body, Client, Request};
pub use error::RequestError;
pub use url::Url;
