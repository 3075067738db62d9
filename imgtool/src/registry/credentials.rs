//! Names and passwords: where Docker, podman and skopeo keep them (containers-auth.json(5),
//! Docker's config.json), and the helpers that keep them elsewhere.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::read_at_most::read_at_most;
use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Bytes of a file of credentials, or of a helper's answer.
const LARGEST: u64 = 4 << 20;

/// Who we are to a registry.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Anybody.
    #[default]
    None,
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that token servers take in place of a password.
    IdentityToken(String),
    /// The token that the registry itself wants.
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the secret.
        f.write_str(match self {
            Credentials::None => "None",
            Credentials::Password { .. } => "Password",
            Credentials::IdentityToken(_) => "IdentityToken",
            Credentials::Token(_) => "Token",
        })
    }
}

impl Credentials {
    /// Reads skopeo's `USERNAME[:PASSWORD]`.
    pub fn from_pair(pair: &str) -> Result<Self> {
        let (user, password) = pair.split_once(':').unwrap_or((pair, ""));
        if user.is_empty() {
            bail!("credentials need a user's name: USERNAME[:PASSWORD]");
        }
        Ok(Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

/// A file of credentials, in Docker's or containers' form, which differ in what the keys of
/// `auths` may be.
#[derive(Debug)]
pub struct CredentialFile {
    path: PathBuf,
    document: Map<String, Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

/// The files that are read where the caller names none, in their order.
pub fn default_files() -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = set("REGISTRY_AUTH_FILE") {
        return vec![file.into()];
    }
    let mut files = vec![containers_file()];
    let home = set("HOME").map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".config")));
    files.extend(config.map(|config| config.join("containers/auth.json")));
    let docker = set("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".docker")));
    files.extend(docker.map(|docker| docker.join("config.json")));
    files
}

/// The file that `login` writes where the caller names none.
pub fn containers_file() -> PathBuf {
    if let Some(file) = std::env::var_os("REGISTRY_AUTH_FILE").filter(|file| !file.is_empty()) {
        return file.into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        Some(directory) => Path::new(&directory).join("containers/auth.json"),
        None => PathBuf::from(format!(
            "/run/containers/{}/auth.json",
            rustix::process::geteuid().as_raw()
        )),
    }
}

/// Looks a repository's credentials up: in `file`, or in the default ones.
pub fn find(host: &str, repository: &str, file: Option<&Path>) -> Result<Credentials> {
    let files = file.map_or_else(default_files, |file| vec![file.to_owned()]);
    for path in files {
        let required = file.is_some();
        let Some(file) = CredentialFile::read(&path, required)? else {
            continue;
        };
        let found = file.find(host, repository)?;
        if found != Credentials::None {
            return Ok(found);
        }
    }
    Ok(Credentials::None)
}

impl CredentialFile {
    /// Reads a file; nothing where there is none, unless it is `required`.
    pub fn read(path: &Path, required: bool) -> Result<Option<Self>> {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
        };
        let bytes = read_at_most(file, LARGEST).with_context(|| path.display().to_string())?;
        let document = if bytes.trim_ascii().is_empty() {
            Map::new()
        } else {
            // Its error could quote a password.
            serde_json::from_slice(&bytes)
                .ok()
                .with_context(|| format!("{} is not a JSON object", path.display()))?
        };
        Ok(Some(CredentialFile {
            path: path.to_owned(),
            document,
        }))
    }

    /// A file for writing, empty where there is none.
    pub fn read_or_new(path: &Path) -> Result<Self> {
        Ok(
            CredentialFile::read(path, false)?.unwrap_or_else(|| CredentialFile {
                path: path.to_owned(),
                document: Map::new(),
            }),
        )
    }

    /// What the file says of a repository; the longest key that it is below counts.
    pub fn find(&self, host: &str, repository: &str) -> Result<Credentials> {
        if let Some(helper) = self.helper(host) {
            return run_get(helper, host);
        }
        let Some(Value::Object(auths)) = self.document.get("auths") else {
            return Ok(Credentials::None);
        };
        let mut wanted = if repository.is_empty() {
            host.to_owned()
        } else {
            format!("{host}/{repository}")
        };
        loop {
            let exact = auths.get(&wanted);
            let by_host = || {
                let same = |key: &&String| wanted == host && host_of_address(key) == Some(host);
                auths.keys().find(same).and_then(|key| auths.get(key))
            };
            if let Some(value) = exact.or_else(by_host) {
                let found = entry(value)
                    .with_context(|| format!("{}: auths of '{wanted}'", self.path.display()))?;
                if found != Credentials::None {
                    return Ok(found);
                }
            }
            match wanted.rsplit_once('/') {
                Some((above, _)) => wanted = above.to_owned(),
                None => return Ok(Credentials::None),
            }
        }
    }

    /// The helper that keeps a host's credentials.
    fn helper(&self, host: &str) -> Option<&str> {
        let of_host = self
            .document
            .get("credHelpers")
            .and_then(|all| all.get(host));
        of_host
            .or_else(|| self.document.get("credsStore"))
            .and_then(Value::as_str)
            .filter(|helper| !helper.is_empty())
    }

    /// Keeps a key's (host's, or host/path's) name and password.
    pub fn store(&mut self, key: &str, user: &str, password: &str) -> Result<()> {
        if let Some(helper) = self.helper(key) {
            let input = json!({ "ServerURL": key, "Username": user, "Secret": password });
            run_helper(helper, "store", &input.to_string())?;
            return Ok(());
        }
        let auth = STANDARD.encode(format!("{user}:{password}"));
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        let Value::Object(auths) = auths else {
            bail!("{}: 'auths' is not an object", self.path.display());
        };
        auths.insert(key.to_owned(), json!({ "auth": auth }));
        self.write()
    }

    /// Forgets a key; says whether there was something to forget.
    pub fn erase(&mut self, key: &str) -> Result<bool> {
        if let Some(helper) = self.helper(key) {
            run_helper(helper, "erase", key)?;
            return Ok(true);
        }
        let Some(Value::Object(auths)) = self.document.get_mut("auths") else {
            return Ok(false);
        };
        let before = auths.len();
        auths.retain(|known, _| known != key && host_of_address(known) != Some(key));
        if auths.len() == before {
            return Ok(false);
        }
        self.write()?;
        Ok(true)
    }

    /// Forgets all that the file itself keeps.
    pub fn erase_all(&mut self) -> Result<()> {
        self.document.remove("auths");
        self.write()
    }

    /// Replaces the file at once, readable by its owner alone.
    fn write(&self) -> Result<()> {
        let context = || format!("write {}", self.path.display());
        let directory = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory).with_context(context)?;
        // A name that nobody can have taken before (the directory may be anybody's), mode 0600.
        let mut temporary = tempfile::Builder::new()
            .prefix(".windlass-auth-")
            .tempfile_in(directory)
            .with_context(context)?;
        temporary
            .write_all(&serde_json::to_vec_pretty(&self.document)?)
            .and_then(|()| temporary.as_file().sync_data())
            .with_context(context)?;
        // A link to the file (dotfiles in a repository) stays one.
        let target = std::fs::canonicalize(&self.path).unwrap_or(self.path.clone());
        temporary
            .persist(target)
            .map_err(|error| error.error)
            .with_context(context)?;
        Ok(())
    }
}

/// `https://host/v1/` and so on, which Docker's keys may be: the host. A key without a scheme is
/// for the path in it alone (containers-auth.json(5)).
fn host_of_address(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once("://")?;
    rest.split('/').next()
}

fn entry(value: &Value) -> Result<Credentials> {
    let entry: Entry = Entry::deserialize(value).ok().context("not understood")?;
    if !entry.identity_token.is_empty() {
        return Ok(Credentials::IdentityToken(entry.identity_token));
    }
    if entry.auth.is_empty() {
        return Ok(Credentials::None);
    }
    let pair = STANDARD.decode(entry.auth.trim()).ok();
    let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.context("'auth' is not base64 of a name and a password")?;
    Credentials::from_pair(pair.trim_end_matches('\0'))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Asks a helper (docker-credential-helpers' protocol). What it doesn't know is no error.
fn run_get(helper: &str, host: &str) -> Result<Credentials> {
    let answer = match run_helper(helper, "get", host) {
        Ok(answer) => answer,
        Err(error) if error.to_string().contains("credentials not found") => {
            return Ok(Credentials::None);
        }
        Err(error) => return Err(error),
    };
    let answer: HelperAnswer = serde_json::from_slice(&answer)
        .ok()
        .with_context(|| format!("docker-credential-{helper} gave no credentials for {host}"))?;
    Ok(if answer.username == "<token>" {
        Credentials::IdentityToken(answer.secret)
    } else {
        Credentials::Password {
            user: answer.username,
            password: answer.secret,
        }
    })
}

fn run_helper(helper: &str, verb: &str, input: &str) -> Result<Vec<u8>> {
    // It names a program in PATH, not a file anywhere.
    if helper.contains('/') {
        bail!(
            "credential helper '{}' is not a name",
            helper.escape_debug()
        );
    }
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't run {program}, which keeps the credentials"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that has heard enough may have closed it.
        drop(stdin.write_all(input.as_bytes()));
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(LARGEST)
            .read_to_end(&mut output)
            .with_context(|| format!("read what {program} says"))?;
    }
    let status = child
        .wait()
        .with_context(|| format!("wait for {program}"))?;
    if !status.success() {
        let said: String = String::from_utf8_lossy(&output)
            .trim()
            .chars()
            .take(200)
            .collect();
        bail!("{program} {verb}: {status}: {}", said.escape_debug());
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(document: Value) -> CredentialFile {
        let Value::Object(document) = document else {
            panic!("not an object");
        };
        let path = "test.json".into();
        CredentialFile { path, document }
    }

    fn auth(pair: &str) -> Value {
        json!({ "auth": STANDARD.encode(pair) })
    }

    fn user(credentials: Credentials) -> String {
        match credentials {
            Credentials::Password { user, .. } => user,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_longest_key_counts() {
        let file = file(json!({ "auths": {
            "r.example": auth("host:1"), "r.example/team": auth("team:2"),
            "r.example/team/app": auth("app:3"), "https://old.example/v1/": auth("old:4"),
            "token.example": { "identitytoken": "t" }, "empty.example": {},
            "spaces.example/team": auth("space:5"),
        } }));
        for (host, repository, expected) in [
            ("r.example", "other/x", "host"),
            ("r.example", "team/x", "team"),
            ("r.example", "team/app", "app"),
            ("r.example", "team/app/deep", "app"),
            ("r.example", "teamwork", "host"),
            ("old.example", "x", "old"),
            ("token.example", "x", "IdentityToken"),
            ("empty.example", "x", "None"),
            ("spaces.example", "team/x", "space"),
            ("spaces.example", "other/x", "None"),
            ("spaces.example", "", "None"),
            ("x.example", "r.example", "None"),
        ] {
            let found = file.find(host, repository).unwrap();
            assert_eq!(user(found), expected, "{host}/{repository}");
        }
    }

    #[test]
    fn errors_do_not_quote_secrets() {
        let file = file(json!({ "auths": { "r.example": { "auth": "secret!" } } }));
        let error = format!("{:#}", file.find("r.example", "x").unwrap_err());
        assert!(!error.contains("secret"), "{error}");
        let credentials = Credentials::from_pair("user:secret").unwrap();
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn what_is_stored_is_found_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/auth.json");
        let mut file = CredentialFile::read_or_new(&path).unwrap();
        file.document
            .insert("HttpHeaders".into(), json!({ "X": "y" }));
        file.store("r.example:5000", "me", "pass:word").unwrap();
        let mut again = CredentialFile::read(&path, true).unwrap().unwrap();
        assert_eq!(
            again.find("r.example:5000", "a/b").unwrap(),
            Credentials::from_pair("me:pass:word").unwrap()
        );
        assert!(again.erase("r.example:5000").unwrap());
        assert!(!again.erase("r.example:5000").unwrap());
        // The host's is not what is for a part of it.
        again.store("r.example:5000/team", "team", "5").unwrap();
        again
            .store("https://r.example:5000/v1/", "old", "6")
            .unwrap();
        assert!(again.erase("r.example:5000").unwrap());
        assert!(!again.erase("r.example:5000").unwrap());
        let team = again.find("r.example:5000", "team/x").unwrap();
        assert_eq!(user(team), "team");
        assert!(again.erase("r.example:5000/team").unwrap());
        let last = CredentialFile::read(&path, true).unwrap().unwrap();
        assert_eq!(last.find("r.example:5000", "a").unwrap(), Credentials::None);
        assert_eq!(last.document["HttpHeaders"]["X"], "y");
    }
}
