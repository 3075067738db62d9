//! `--mount type=…,source=…,target=…`: Docker's grammar.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::super::label::Label;
use super::destination;
use super::request::{Access, Propagation, Request, Source};
use super::tmpfs_flag::USUAL_OPTIONS;
use crate::size::Size;

/// What the fields say.
#[derive(Debug, Default)]
struct Fields {
    kind: Option<String>,
    source: Option<String>,
    target: Option<String>,
    read_only: bool,
    propagation: Option<Propagation>,
    recursion: Option<Recursion>,
    no_copy: bool,
    labels: Vec<Label>,
    tmpfs_size: Option<Size>,
    tmpfs_mode: Option<u32>,
    /// Fields that are for one type only: the type and the field.
    only_for: Vec<(&'static str, String)>,
}

/// What becomes of mounts below the source of a bind mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recursion {
    Enabled,
    Disabled,
    Writable,
    ReadOnly,
}

/// Reads the flag's value.
pub(super) fn parse(text: &str) -> Result<Request> {
    let mut fields = Fields::default();
    for field in split(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value)),
            None => (field.clone(), None),
        };
        fields
            .set(&key, value)
            .with_context(|| format!("field '{field}'"))?;
    }
    fields.request()
}

impl Fields {
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<()> {
        if let Some((kind, _)) = key.split_once('-')
            && let Some(kind) = KINDS.into_iter().find(|known| *known == kind)
        {
            self.only_for.push((kind, key.to_owned()));
        }
        match key {
            "readonly" | "ro" => self.read_only = truth(value)?,
            "bind-nonrecursive" => {
                self.recursion = truth(value)?.then_some(Recursion::Disabled);
            }
            "volume-nocopy" => self.no_copy = truth(value)?,
            _ => {
                let value = value.context("it is written KEY=VALUE")?;
                self.set_value(key, value)?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "type" => self.kind = Some(value.to_owned()),
            "source" | "src" => self.source = Some(value.to_owned()),
            "target" | "dst" | "destination" => self.target = Some(value.to_owned()),
            "bind-propagation" => self.propagation = Some(value.parse()?),
            "bind-recursive" => {
                self.recursion = Some(match value {
                    "enabled" => Recursion::Enabled,
                    "disabled" => Recursion::Disabled,
                    "writable" => Recursion::Writable,
                    "readonly" => Recursion::ReadOnly,
                    _ => bail!("it is enabled, disabled, writable or readonly"),
                });
            }
            "volume-label" => self.labels.push(value.parse()?),
            "volume-driver" if value == "local" => {}
            "tmpfs-size" => self.tmpfs_size = Some(value.parse()?),
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8).context("an octal mode, such as 1777")?;
                if mode > 0o7777 {
                    bail!("an octal mode, such as 1777");
                }
                self.tmpfs_mode = Some(mode);
            }
            // Of Docker for Mac; nothing on Linux, in Docker either.
            "consistency" if matches!(value, "default" | "consistent" | "cached" | "delegated") => {
            }
            "volume-driver" | "volume-opt" | "volume-subpath" => {
                bail!("volumes are directories of the store, without drivers, options or subpaths")
            }
            _ => bail!(
                "no such key; there are type, source, target, readonly, bind-propagation, bind-recursive, volume-nocopy, volume-label, tmpfs-size and tmpfs-mode"
            ),
        }
        Ok(())
    }

    fn request(self) -> Result<Request> {
        let kind = self.kind.as_deref().unwrap_or("volume");
        if !KINDS.contains(&kind) {
            bail!("type '{kind}': it is bind, volume or tmpfs");
        }
        if let Some((_, key)) = self.only_for.iter().find(|(only, _)| *only != kind) {
            bail!("'{key}' is not for type {kind}");
        }
        let Some(target) = &self.target else {
            bail!("there is no target");
        };
        let destination = destination::mountable(target)?;
        let source = match kind {
            "bind" => self.bind()?,
            "tmpfs" => self.tmpfs()?,
            _ => self.volume()?,
        };
        Ok(Request {
            destination,
            source,
            access: self.access()?,
        })
    }

    fn bind(&self) -> Result<Source> {
        let Some(path) = &self.source else {
            bail!("a bind mount needs a source");
        };
        if !Path::new(path).is_absolute() {
            bail!("source '{path}' of a bind mount is not an absolute path");
        }
        Ok(Source::Bind {
            path: path.into(),
            recursive: self.recursion != Some(Recursion::Disabled),
            propagation: self.propagation.unwrap_or(Propagation::PRIVATE),
        })
    }

    fn volume(&self) -> Result<Source> {
        let named = self.source.as_deref().filter(|name| !name.is_empty());
        let name = match named {
            Some(path) if path.starts_with('/') => {
                bail!("source '{path}' is no name of a volume; type=bind is for paths")
            }
            name => name.map(str::parse).transpose()?,
        };
        Ok(Source::Volume {
            name,
            labels: self.labels.clone(),
            copy: !self.no_copy,
        })
    }

    fn tmpfs(&self) -> Result<Source> {
        if let Some(source) = &self.source {
            bail!("source '{source}': a tmpfs has none");
        }
        let mut options = USUAL_OPTIONS.map(str::to_owned).to_vec();
        options.extend(self.tmpfs_size.map(|size| format!("size={size}")));
        options.extend(self.tmpfs_mode.map(|mode| format!("mode={mode:o}")));
        Ok(Source::Tmpfs { options })
    }

    fn access(&self) -> Result<Access> {
        match (self.read_only, self.recursion) {
            (false, Some(Recursion::Writable | Recursion::ReadOnly)) => {
                bail!("bind-recursive=writable and =readonly are for read-only mounts")
            }
            (false, _) => Ok(Access::Writable),
            (true, Some(Recursion::Writable)) => Ok(Access::ReadOnlyTop),
            (true, Some(Recursion::ReadOnly)) => Ok(Access::ReadOnlyAll),
            (true, _) => Ok(Access::ReadOnly),
        }
    }
}

const KINDS: [&str; 3] = ["bind", "volume", "tmpfs"];

/// What Docker takes for yes and no; a key alone is yes.
fn truth(value: Option<&str>) -> Result<bool> {
    match value {
        None | Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
        Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
        Some(_) => bail!("it is true or false"),
    }
}

/// Takes the fields apart, which are one line of CSV (RFC 4180): one with a comma in it stands in
/// double quotes, in which two are one.
fn split(text: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        if field.is_empty() {
            bail!("a field is empty");
        }
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

fn unquote(quoted: &str) -> Result<(String, &str)> {
    let mut field = String::new();
    let mut rest = quoted;
    loop {
        let Some(end) = rest.find('"') else {
            bail!("a double quote is not closed");
        };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if let Some(after) = rest.strip_prefix('"') {
            field.push('"');
            rest = after;
        } else if rest.is_empty() || rest.starts_with(',') {
            return Ok((field, rest));
        } else {
            bail!("after a closing double quote comes a comma");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        format!("{:#}", parse(text).expect_err(text))
    }

    #[test]
    fn binds() {
        let request = parse("type=bind,source=/srv/data,target=/data/,readonly").unwrap();
        assert_eq!(request.destination, "/data");
        assert_eq!(request.access, Access::ReadOnly);
        let bind = Source::Bind {
            path: "/srv/data".into(),
            recursive: true,
            propagation: Propagation::PRIVATE,
        };
        assert_eq!(request.source, bind);
        let request =
            parse("type=bind,\"src=/a,\"\"b\",dst=/b,ro=false,bind-nonrecursive").unwrap();
        let Source::Bind {
            path, recursive, ..
        } = request.source
        else {
            panic!("no bind")
        };
        assert_eq!(path, Path::new("/a,\"b"));
        assert!(!recursive);
        let request = parse("type=bind,src=/a,dst=/b,ro,bind-recursive=readonly").unwrap();
        assert_eq!(request.access, Access::ReadOnlyAll);
    }

    #[test]
    fn volumes_are_the_default() {
        let request = parse("source=data,target=/data,volume-nocopy,volume-label=a=b").unwrap();
        let volume = Source::Volume {
            name: Some("data".parse().unwrap()),
            labels: vec!["a=b".parse().unwrap()],
            copy: false,
        };
        assert_eq!(request.source, volume);
        let anonymous = parse("target=/data").unwrap();
        assert!(matches!(
            anonymous.source,
            Source::Volume {
                name: None,
                copy: true,
                ..
            }
        ));
    }

    #[test]
    fn tmpfs_has_size_and_mode() {
        let request = parse("type=tmpfs,target=/run,tmpfs-size=64m,tmpfs-mode=1770").unwrap();
        let options = ["noexec", "nosuid", "nodev", "size=64m", "mode=1770"];
        let options = options.map(str::to_owned).to_vec();
        assert_eq!(request.source, Source::Tmpfs { options });
    }

    #[test]
    fn precise_refusals() {
        for (text, reason) in [
            ("", "a field is empty"),
            ("type=bind,source=/a", "no target"),
            ("type=bind,target=/b", "needs a source"),
            ("type=bind,source=a,target=/b", "not an absolute path"),
            ("type=bind,source=/a,target=b", "'b'"),
            ("type=bind,source=/a,target=/", "root"),
            ("type=bind,source=/a,target=/proc/sys", "/proc"),
            (
                "type=bind,source=/a,target=/b,volume-nocopy",
                "not for type bind",
            ),
            (
                "type=bind,source=/a,target=/b,bind-propagation=x",
                "'x' is no propagation",
            ),
            (
                "type=bind,source=/a,target=/b,bind-recursive=readonly",
                "read-only mounts",
            ),
            ("type=nfs,target=/b", "bind, volume or tmpfs"),
            ("source=/a,target=/b", "type=bind is for paths"),
            ("source=a/b,target=/b", "a/b"),
            ("type=tmpfs,source=a,target=/b", "a tmpfs has none"),
            ("type=tmpfs,target=/b,tmpfs-mode=9", "octal"),
            ("type=tmpfs,target=/b,tmpfs-size=x", "tmpfs-size=x"),
            ("target=/b,readonly=maybe", "true or false"),
            ("target=/b,nonsense=1", "no such key"),
            ("target=/b,target", "KEY=VALUE"),
            ("target=/b,volume-driver=nfs", "without drivers"),
            ("target=/b,", "empty"),
            ("\"target=/b", "not closed"),
            ("\"target=/b\"x", "comes a comma"),
        ] {
            let error = refused(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
