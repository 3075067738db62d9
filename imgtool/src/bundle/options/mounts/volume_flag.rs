//! `--volume [NAME|SOURCE:]DESTINATION[:OPTIONS]`: Docker's short form.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::destination;
use super::request::{Access, Propagation, Request, Source};

/// Reads the flag's value.
pub(super) fn parse(text: &str) -> Result<Request> {
    let fields: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match fields[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => bail!("a volume is [NAME|SOURCE:]DESTINATION[:OPTIONS]"),
    };
    let destination = destination::mountable(target)?;
    let options = Options::read(options)?;
    let source = match source {
        Some("") => bail!("what comes before ':{target}' is empty"),
        Some(path) if path.starts_with(['/', '.', '~']) => options.bind(path)?,
        Some(name) => options.volume(Some(name))?,
        None => options.volume(None)?,
    };
    Ok(Request {
        destination,
        source,
        access: if options.read_only {
            Access::ReadOnly
        } else {
            Access::Writable
        },
    })
}

#[derive(Debug, Default)]
struct Options {
    read_only: bool,
    no_copy: bool,
    propagation: Option<Propagation>,
}

impl Options {
    fn read(text: &str) -> Result<Self> {
        let mut options = Options::default();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => options.read_only = true,
                "rw" => options.read_only = false,
                "nocopy" => options.no_copy = true,
                "z" | "Z" if Path::new("/sys/fs/selinux/enforce").exists() => {
                    bail!("option '{option}': files aren't relabelled for SELinux; see chcon(1)")
                }
                // Without SELinux there is nothing to relabel; the others are Docker for Mac's, and
                // nothing on Linux in Docker either.
                "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                _ => match option.parse() {
                    Ok(propagation) => options.propagation = Some(propagation),
                    Err(_) => bail!(
                        "no option '{option}' of a volume; there are ro, rw, nocopy, z, Z and (for a path) private, rprivate, shared, rshared, slave, rslave"
                    ),
                },
            }
        }
        Ok(options)
    }

    fn bind(&self, path: &str) -> Result<Source> {
        if self.no_copy {
            bail!("option 'nocopy': nothing is copied to '{path}', which is a path of the host");
        }
        let path = match path.strip_prefix('~') {
            Some(_) => bail!("'{path}': a shell expands '~' at the beginning of a word only"),
            None if path.starts_with('/') => PathBuf::from(path),
            // Docker's client does the same with what begins with a dot.
            None => std::path::absolute(path).with_context(|| format!("'{path}'"))?,
        };
        Ok(Source::Bind {
            path,
            recursive: true,
            propagation: self.propagation.unwrap_or(Propagation::PRIVATE),
        })
    }

    fn volume(&self, name: Option<&str>) -> Result<Source> {
        if let Some(propagation) = self.propagation {
            let option = propagation.option();
            bail!("option '{option}' is for paths of the host");
        }
        Ok(Source::Volume {
            name: name.map(str::parse).transpose()?,
            labels: Vec::new(),
            copy: !self.no_copy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_neither() {
        let named = parse("data:/data:ro,nocopy").unwrap();
        assert_eq!(named.access, Access::ReadOnly);
        let name = Some("data".parse().unwrap());
        let source = Source::Volume {
            name,
            labels: Vec::new(),
            copy: false,
        };
        assert_eq!(named.source, source);
        let anonymous = parse("/data").unwrap();
        assert!(matches!(
            anonymous.source,
            Source::Volume {
                name: None,
                copy: true,
                ..
            }
        ));
        for (text, expected) in [
            ("/srv:/data:rshared", PathBuf::from("/srv")),
            ("./here:/data", std::path::absolute("here").unwrap()),
        ] {
            let Source::Bind { path, .. } = parse(text).unwrap().source else {
                panic!("{text}")
            };
            assert_eq!(path, expected);
        }
    }

    #[test]
    fn precise_refusals() {
        for (text, reason) in [
            ("data", "'data', the path in the container, is not absolute"),
            ("data:data", "not absolute"),
            (":/data", "empty"),
            ("/a:/b:/c:ro", "SOURCE"),
            ("/a:/b:readonly", "no option 'readonly'"),
            ("/a:/b:nocopy", "path of the host"),
            ("data:/b:rshared", "paths of the host"),
            ("d/e:/b", "'d/e'"),
            ("~/x:/b", "shell"),
            ("/a:/", "root"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
