//! Absolute http and https addresses, and what a server's `Location` makes of them (RFC 3986,
//! section 5.2).

use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

/// The address of something on a server. Never holds a user, a password or a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is https.
    pub secure: bool,
    /// Host and port as written, in lower case.
    pub authority: String,
    /// Path and query, from the slash on.
    pub target: String,
}

/// What isn't an address that we follow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not an http or https address", .0.escape_debug())]
pub struct InvalidUrl(String);

impl Url {
    /// An address on a server.
    pub fn new(secure: bool, authority: &str, target: &str) -> Result<Self, InvalidUrl> {
        let scheme = if secure { "https" } else { "http" };
        format!("{scheme}://{authority}{target}").parse()
    }

    /// Whether both are on one server: the same scheme, host and port. Only there may secrets go
    /// that were meant for it.
    pub fn same_origin(&self, other: &Url) -> bool {
        self.secure == other.secure && self.host_and_port() == other.host_and_port()
    }

    fn host_and_port(&self) -> (&str, u16) {
        let default = if self.secure { 443 } else { 80 };
        match self.authority.rsplit_once(':') {
            // Not the last group of an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(default)),
            _ => (&self.authority, default),
        }
    }

    /// Where `location`, given by the server at this address, leads.
    pub fn join(&self, location: &str) -> Result<Url, InvalidUrl> {
        let scheme = if self.secure { "https" } else { "http" };
        let without_fragment = location.split('#').next().unwrap_or_default();
        let (path, _) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let whole =
            if without_fragment.contains("://") && !without_fragment.starts_with(['/', '?', '.']) {
                without_fragment.to_owned()
            } else if without_fragment.starts_with("//") {
                format!("{scheme}:{without_fragment}")
            } else if without_fragment.starts_with('/') {
                format!("{scheme}://{}{without_fragment}", self.authority)
            } else if without_fragment.starts_with('?') {
                format!("{scheme}://{}{path}{without_fragment}", self.authority)
            } else {
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                format!(
                    "{scheme}://{}{directory}/{without_fragment}",
                    self.authority
                )
            };
        whole.parse()
    }

    /// The same address with another parameter in its query.
    #[must_use]
    pub fn with_parameter(&self, name: &str, value: &str) -> Url {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        let mut url = self.clone();
        url.target.push(separator);
        url.target.push_str(name);
        url.target.push('=');
        url.target.push_str(&percent_encoded(value));
        url
    }

    /// The address without its query, which may hold secrets (signed addresses).
    pub fn without_query(&self) -> String {
        let whole = self.to_string();
        whole.split('?').next().unwrap_or_default().to_owned()
    }
}

/// A value as the query of an address or a form has it (RFC 3986, section 2.3).
pub fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    encoded
}

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let invalid = || InvalidUrl(text.chars().take(200).collect());
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid()),
        };
        let authority = uri.authority().ok_or_else(invalid)?;
        // A user in an address is a password on its way to a log.
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(invalid());
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url {
            secure,
            authority: authority.as_str().to_ascii_lowercase(),
            target: format!("{slash}{target}"),
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn locations_are_resolved() {
        let base = url("https://R.example:5000/v2/a/blobs/uploads/?x=1");
        for (location, expected) in [
            ("/v2/b?y=2", "https://r.example:5000/v2/b?y=2"),
            ("https://cdn.example/z#top", "https://cdn.example/z"),
            ("//cdn.example/z", "https://cdn.example/z"),
            ("uuid", "https://r.example:5000/v2/a/blobs/uploads/uuid"),
            ("?p=2", "https://r.example:5000/v2/a/blobs/uploads/?p=2"),
            (
                "/back?to=https://x.example/",
                "https://r.example:5000/back?to=https://x.example/",
            ),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected);
        }
        for bad in ["ftp://x/y", "file:///etc/passwd", "https://user:pw@x/"] {
            assert!(base.join(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let base = url("https://r.example/a");
        assert!(base.same_origin(&url("https://r.example:443/b")));
        for other in [
            "http://r.example/a",
            "https://r.example:444/a",
            "https://x.example/a",
            "https://r.example.x/a",
        ] {
            assert!(!base.same_origin(&url(other)), "{other}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let first = url("http://h/p").with_parameter("scope", "repository:a/b:pull");
        assert_eq!(first.target, "/p?scope=repository%3Aa%2Fb%3Apull");
        assert_eq!(
            first.with_parameter("n", "1").target,
            format!("{}&n=1", first.target)
        );
    }
}
