//! `login` and `logout`: what is kept of names and passwords.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::arguments::Connection;
use super::hidden_input::{read_line, without_echo};
use crate::http::retry::RetryPolicy;
use crate::registry::configuration::Configuration;
use crate::registry::credentials::{self, CredentialFile, Credentials};
use crate::registry::name::{ImageName, Version, is_well_formed_host};
use crate::registry::session::{Session, SessionOptions};
use crate::sys::signal;
use crate::warnings;

/// Logs in to a registry: asks it whether name and password are right, and keeps them for later.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img login --username me registry.example.com")]
pub struct Login {
    /// The user's name; asked for unless given.
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,

    /// The password. Others can see the command line: --password-stdin is safer.
    #[arg(long, short, value_name = "PASSWORD")]
    password: Option<String>,

    /// Read the password from standard input.
    #[arg(long, conflicts_with = "password")]
    password_stdin: bool,

    /// Say who is logged in, and change nothing.
    #[arg(long = "get-login")]
    show: bool,

    /// The file to keep them in ($REGISTRY_AUTH_FILE or containers' auth.json unless given).
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// A directory of certificates (*.crt, *.cert, *.key) in place of certs.d.
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,

    /// Whether the registry has to speak https with a certificate that we trust.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    tls_verify: Option<bool>,

    #[command(flatten)]
    connection: Connection,

    /// The registry's HOST[:PORT], with a path if the credentials are for what is below it.
    registry: String,
}

impl Login {
    pub(super) fn run(self) -> Result<()> {
        let (key, host) = checked_key(&self.registry)?;
        if self.show {
            let path = key.strip_prefix(&host).unwrap_or_default();
            let path = path.trim_start_matches('/');
            let user = match credentials::find(&host, path, self.authfile.as_deref())? {
                Credentials::Password { user, .. } => user,
                Credentials::IdentityToken(_) => "<token>".to_owned(),
                _ => bail!("not logged in to {key}"),
            };
            writeln!(std::io::stdout(), "{user}")?;
            return Ok(());
        }
        signal::note_requests_to_stop();
        let (user, password) = self.ask()?;
        let who = Credentials::Password {
            user: user.clone(),
            password: password.clone(),
        };
        let options = SessionOptions {
            insecure: self.tls_verify.map(|verify| !verify),
            certificates: self.cert_dir.clone(),
            retry: RetryPolicy::default(),
            ..SessionOptions::default()
        };
        let insecure = is_insecure(&self.connection.configuration()?, &host)?;
        Session::new(&host, insecure, who, &options)
            .check()
            .with_context(|| format!("can't log in to {key}"))?;
        let path = self.authfile.unwrap_or_else(credentials::containers_file);
        CredentialFile::read_or_new(&path)?.store(&key, &user, &password)?;
        writeln!(std::io::stdout(), "Login Succeeded!")?;
        Ok(())
    }

    fn ask(&self) -> Result<(String, String)> {
        let mut input = std::io::stdin().lock();
        let mut line = |prompt: &str| -> Result<String> {
            warnings::say(&format!("{prompt}: "));
            read_line(&mut input)
        };
        if self.password_stdin {
            let user = self.username.clone();
            let user = user.context("--password-stdin needs --username")?;
            return Ok((user, read_line(&mut input)?));
        }
        let user = match &self.username {
            Some(user) => user.clone(),
            None => line("Username")?,
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None if std::io::stdin().is_terminal() => {
                let password = without_echo(|| line("Password"))??;
                warnings::say("\n");
                password
            }
            None => line("Password")?,
        };
        if user.is_empty() {
            bail!("the user's name is empty");
        }
        Ok((user, password))
    }
}

/// Forgets what login kept.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img logout registry.example.com")]
pub struct Logout {
    /// Forget all that the file keeps.
    #[arg(long, short, conflicts_with = "registry")]
    all: bool,

    /// The file that they are kept in ($REGISTRY_AUTH_FILE or containers' auth.json unless given).
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// The registry, as login was told it.
    #[arg(required_unless_present = "all")]
    registry: Option<String>,
}

impl Logout {
    pub(super) fn run(self) -> Result<()> {
        let path = self.authfile.unwrap_or_else(credentials::containers_file);
        let mut file = CredentialFile::read_or_new(&path)?;
        if self.all {
            file.erase_all()?;
            writeln!(std::io::stdout(), "Removed all login credentials")?;
            return Ok(());
        }
        let (key, _) = checked_key(&self.registry.unwrap_or_default())?;
        if !file.erase(&key)? {
            bail!("not logged in to {key} ({})", path.display());
        }
        writeln!(std::io::stdout(), "Removed login credentials for {key}")?;
        Ok(())
    }
}

/// The key of a registry in a file of credentials, and its host.
fn checked_key(registry: &str) -> Result<(String, String)> {
    let key = registry.strip_prefix("https://").unwrap_or(registry);
    let key = key.trim_end_matches('/').to_ascii_lowercase();
    let host = key.split('/').next().unwrap_or_default().to_owned();
    if !is_well_formed_host(&host) {
        bail!(
            "'{}' is not a registry's HOST[:PORT]",
            registry.escape_debug()
        );
    }
    Ok((key, host))
}

fn is_insecure(configuration: &Configuration, host: &str) -> Result<bool> {
    let name = ImageName {
        host: host.to_owned(),
        repository: "x".to_owned(),
        version: Version::default(),
    };
    Ok(configuration.destination(&name)?.insecure)
}
