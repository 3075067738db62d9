//! What a RUN has only while it runs: `--mount` and `--network`.

use anyhow::{Context, Result, bail};

use super::flags::boolean;
use crate::size::Size;

/// A `--mount`, variables not yet replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where, in the container; a secret has its default.
    pub target: Option<String>,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image; what is written to them is dropped.
    Bind(Bind),
    /// A directory that later builds find again.
    Cache(Cache),
    /// An empty directory in memory, of this size at most.
    Tmpfs(Option<Size>),
    /// A file that no layer holds.
    Secret(Secret),
}

/// `type=bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// A path in `from`.
    pub source: String,
    /// A stage or image; the context unless said.
    pub from: Option<String>,
    /// Writing is allowed, to a copy that is dropped.
    pub writable: bool,
}

/// `type=cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Its name; the target unless said.
    pub id: Option<String>,
    /// What is in it at first: a path in `from`.
    pub source: String,
    /// A stage or image; nothing is in it at first unless said.
    pub from: Option<String>,
    /// Writing is not allowed.
    pub readonly: bool,
    /// Who may use it at the same time.
    pub sharing: Sharing,
    /// Permissions of the directory.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// Who may use a cache while somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// Nobody: another gets one of its own.
    Private,
    /// Nobody: another waits.
    Locked,
}

/// `type=secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Which of the build's secrets.
    pub id: Option<String>,
    /// Without it the step fails.
    pub required: bool,
    /// An environment variable that holds it.
    pub env: Option<String>,
    /// Permissions of the file.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// A step's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The build's.
    Default,
    /// Nothing but a loopback interface.
    None,
    /// The host's.
    Host,
}

impl Network {
    /// Reads its name.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "default" => Network::Default,
            "none" => Network::None,
            "host" => Network::Host,
            other => bail!(
                "--network is default, none or host, not '{}'",
                other.escape_debug()
            ),
        })
    }
}

impl Mount {
    /// Reads `type=…,target=…,…`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut fields = Fields::parse(text)?;
        let kind = fields.take(&["type"]);
        let target = fields.take(&["target", "dst", "destination"]);
        let kind = match kind.as_deref().unwrap_or("bind") {
            "bind" => MountKind::Bind(Bind {
                source: fields.take(&["source", "src"]).unwrap_or_default(),
                from: fields.from()?,
                writable: fields.writable()?.unwrap_or(false),
            }),
            "cache" => MountKind::Cache(fields.cache()?),
            "tmpfs" => {
                let size = fields.take(&["size"]);
                let size = size.as_deref().map(str::parse).transpose();
                MountKind::Tmpfs(size.context("'size'")?)
            }
            "secret" => MountKind::Secret(fields.secret()?),
            "ssh" => {
                bail!("type=ssh: there is no agent to forward here; hand the key over as a secret")
            }
            other => bail!("there is no type '{}'", other.escape_debug()),
        };
        if target.is_none() && !matches!(kind, MountKind::Secret(_)) {
            bail!("a target is missing: target=/…");
        }
        fields.end()?;
        Ok(Mount { target, kind })
    }
}

/// The fields of one mount, taken out one by one.
struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    /// Commas separate them, those in double quotes don't (RFC 4180).
    fn parse(text: &str) -> Result<Self> {
        let mut fields: Vec<(String, Option<String>)> = Vec::new();
        for field in comma_separated(text) {
            let (name, value) = match field.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (field.as_str(), None),
            };
            let name = name.trim().to_ascii_lowercase();
            if fields.iter().any(|(known, _)| *known == name) {
                bail!("'{}' is there twice", name.escape_debug());
            }
            fields.push((name, value));
        }
        Ok(Fields(fields))
    }

    /// The value of a field, under any of its names.
    fn take(&mut self, names: &[&str]) -> Option<String> {
        self.take_field(names).flatten()
    }

    #[expect(
        clippy::option_option,
        reason = "whether it is there, whether it has a value"
    )]
    fn take_field(&mut self, names: &[&str]) -> Option<Option<String>> {
        let found = self
            .0
            .iter()
            .position(|(name, _)| names.contains(&name.as_str()))?;
        Some(self.0.remove(found).1)
    }

    fn switch(&mut self, names: &[&str]) -> Result<Option<bool>> {
        match self.take_field(names) {
            None => Ok(None),
            Some(value) => boolean(names[0], value.as_deref()).map(Some),
        }
    }

    fn writable(&mut self) -> Result<Option<bool>> {
        let writable = self.switch(&["rw", "readwrite"])?;
        let readonly = self.switch(&["ro", "readonly"])?;
        match (writable, readonly) {
            (Some(_), Some(_)) => bail!("it is 'rw' or 'ro'"),
            (writable, None) => Ok(writable),
            (None, Some(readonly)) => Ok(Some(!readonly)),
        }
    }

    fn from(&mut self) -> Result<Option<String>> {
        let from = self.take(&["from"]);
        if from.as_deref().is_some_and(|from| from.contains('$')) {
            bail!("'from' can't hold variables: name a stage (FROM $image AS name), and that here");
        }
        Ok(from)
    }

    fn number(&mut self, name: &str) -> Result<u32> {
        match self.take(&[name]) {
            None => Ok(0),
            Some(text) => text
                .parse()
                .ok()
                .with_context(|| format!("'{name}' is a number")),
        }
    }

    fn mode(&mut self, default: u32) -> Result<u32> {
        match self.take(&["mode"]) {
            None => Ok(default),
            Some(text) => u32::from_str_radix(&text, 8)
                .ok()
                .filter(|mode| *mode <= 0o7777)
                .context("'mode' is an octal number up to 7777"),
        }
    }

    fn cache(&mut self) -> Result<Cache> {
        Ok(Cache {
            id: self.take(&["id"]),
            source: self.take(&["source", "src"]).unwrap_or_default(),
            from: self.from()?,
            readonly: self.writable()? == Some(false),
            sharing: match self.take(&["sharing"]).as_deref() {
                None | Some("shared") => Sharing::Shared,
                Some("private") => Sharing::Private,
                Some("locked") => Sharing::Locked,
                Some(other) => bail!(
                    "'sharing' is shared, private or locked, not '{}'",
                    other.escape_debug()
                ),
            },
            mode: self.mode(0o755)?,
            uid: self.number("uid")?,
            gid: self.number("gid")?,
        })
    }

    fn secret(&mut self) -> Result<Secret> {
        Ok(Secret {
            id: self.take(&["id"]),
            required: self.switch(&["required"])?.unwrap_or(false),
            env: self.take(&["env"]),
            mode: self.mode(0o400)?,
            uid: self.number("uid")?,
            gid: self.number("gid")?,
        })
    }

    fn end(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => bail!("there is no '{}' for this type", name.escape_debug()),
        }
    }
}

fn comma_separated(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let last = fields.len() - 1;
        match c {
            '"' if quoted && rest.next_if_eq(&'"').is_some() => fields[last].push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields[last].push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_fields() {
        let mount = Mount::parse("target=/y,source=a,rw,from=b").unwrap();
        assert_eq!(mount.target.as_deref(), Some("/y"));
        let bind = Bind {
            source: "a".into(),
            from: Some("b".into()),
            writable: true,
        };
        assert_eq!(mount.kind, MountKind::Bind(bind));
        let mount =
            Mount::parse("type=cache,\"target=/a,b\",id=x,sharing=locked,mode=0700,uid=5").unwrap();
        assert_eq!(mount.target.as_deref(), Some("/a,b"));
        assert!(matches!(mount.kind, MountKind::Cache(cache)
            if cache.sharing == Sharing::Locked && cache.mode == 0o700 && cache.uid == 5));
        let mount = Mount::parse("type=tmpfs,dst=/t,size=64m").unwrap();
        assert_eq!(mount.kind, MountKind::Tmpfs(Some(Size(64 << 20))));
        let mount = Mount::parse("type=secret,id=k,required,env=KEY").unwrap();
        assert!(matches!(mount.kind, MountKind::Secret(secret)
            if secret.required && secret.env.as_deref() == Some("KEY") && secret.mode == 0o400));
        for text in [
            "",
            "type=bind",
            "type=x,target=/a",
            "type=ssh",
            "type=cache,target=/a,sharing=x",
            "type=tmpfs,target=/a,size=1x",
            "target=/a,target=/b",
            "target=/a,from=$x",
            "type=secret,mode=9",
            "target=/a,rw,ro",
            "target=/a,nonsense=1",
        ] {
            assert!(Mount::parse(text).is_err(), "{text}");
        }
    }
}
