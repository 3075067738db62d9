//! What containerd writes for a stream: a path, or a URI with a scheme, such as
//! `binary:///usr/bin/logger?level=debug`.

use anyhow::{Context, Result};

/// The parts of a URI that matter here, decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Uri {
    /// `fifo`, which a bare path has as well, `file`, `binary`, `binary-v2`, or what else there is.
    pub scheme: String,
    /// Of the fifo, the file or the program.
    pub path: String,
    /// The query's keys and values in their order; a key without a value has an empty one.
    pub query: Vec<(String, String)>,
}

impl Uri {
    /// Understands what containerd says.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Ok(Uri {
                scheme: "fifo".to_owned(),
                path: text.to_owned(),
                query: Vec::new(),
            });
        };
        let wrong = || format!("{text:?} is no URI: a % without two hexadecimal digits behind it");
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Before the path stands the name of a host; containerd's have none.
        let path = path.find('/').map_or("", |start| &path[start..]);
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| decode(&text.replace('+', " "));
            Some((decode(key)?, decode(value)?))
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Ok(Uri {
            scheme: scheme.to_ascii_lowercase(),
            path: decode(path).with_context(wrong)?,
            query: pairs.map(pair).collect::<Option<_>>().with_context(wrong)?,
        })
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// With the bytes that `%XX` stands for.
fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(scheme: &str, path: &str, query: &[(&str, &str)]) -> Uri {
        let query = query.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        Uri {
            scheme: scheme.to_owned(),
            path: path.to_owned(),
            query: query.collect(),
        }
    }

    #[test]
    fn paths_and_uris_are_told_apart() {
        let parse = |text: &str| Uri::parse(text).unwrap();
        assert_eq!(parse("/run/a%b?c"), uri("fifo", "/run/a%b?c", &[]));
        assert_eq!(parse("fifo:///run/a"), uri("fifo", "/run/a", &[]));
        assert_eq!(
            parse("file:///var/log/a%20b.log"),
            uri("file", "/var/log/a b.log", &[])
        );
        assert_eq!(
            parse("BINARY:///bin/log?a=b+c&--flag&d=%2F&a=e#x"),
            uri(
                "binary",
                "/bin/log",
                &[("a", "b c"), ("--flag", ""), ("d", "/"), ("a", "e")]
            )
        );
        assert_eq!(parse("./odd://path"), uri("fifo", "./odd://path", &[]));
        assert!(Uri::parse("file:///a%2").is_err());
        assert!(Uri::parse("file:///a%zz").is_err());
    }
}
