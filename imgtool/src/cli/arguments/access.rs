//! How to get at a registry: skopeo's flags, once for the verbs with one image, and with `src-` and
//! `dest-` before them for those with two; two of them also for both.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::http::retry::RetryPolicy;
use crate::registry::configuration::Configuration;
use crate::registry::credentials::Credentials;
use crate::registry::session::SessionOptions;

/// What the caller says of one registry.
#[derive(Debug, Default)]
struct Given {
    authfile: Option<PathBuf>,
    cert_dir: Option<PathBuf>,
    creds: Option<String>,
    username: Option<String>,
    password: Option<String>,
    registry_token: Option<String>,
    no_creds: bool,
    tls_verify: Option<bool>,
}

impl Given {
    fn credentials(&self) -> Result<Option<Credentials>> {
        if self.no_creds {
            return Ok(Some(Credentials::None));
        }
        if let Some(token) = &self.registry_token {
            return Ok(Some(Credentials::Token(token.clone())));
        }
        if let Some(pair) = &self.creds {
            return Credentials::from_pair(pair).map(Some);
        }
        Ok(self.username.as_ref().map(|user| Credentials::Password {
            user: user.clone(),
            password: self.password.clone().unwrap_or_default(),
        }))
    }
}

macro_rules! access_arguments {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Args)]
        #[command(next_help_heading = $doc)]
        pub struct $name {
            /// A file of credentials in place of the usual ones ($REGISTRY_AUTH_FILE, containers'
            /// auth.json, ~/.docker/config.json).
            #[arg(id = concat!($prefix, "authfile"), long = concat!($prefix, "authfile"), value_name = "FILE")]
            authfile: Option<PathBuf>,

            /// A directory of certificates (*.crt, *.cert, *.key) in place of certs.d.
            #[arg(id = concat!($prefix, "cert-dir"), long = concat!($prefix, "cert-dir"), value_name = "DIR")]
            cert_dir: Option<PathBuf>,

            /// Who to log in as. Others can see the command line: login is safer.
            #[arg(id = concat!($prefix, "creds"), long = concat!($prefix, "creds"), value_name = "USERNAME[:PASSWORD]")]
            creds: Option<String>,

            /// Who to log in as.
            #[arg(id = concat!($prefix, "username"), long = concat!($prefix, "username"), value_name = "NAME",
                conflicts_with = concat!($prefix, "creds"))]
            username: Option<String>,

            /// The password of that user.
            #[arg(id = concat!($prefix, "password"), long = concat!($prefix, "password"), value_name = "PASSWORD",
                requires = concat!($prefix, "username"))]
            password: Option<String>,

            /// The bearer token to show.
            #[arg(id = concat!($prefix, "registry-token"), long = concat!($prefix, "registry-token"), value_name = "TOKEN",
                conflicts_with_all = [concat!($prefix, "creds"), concat!($prefix, "username")])]
            registry_token: Option<String>,

            /// Log in as nobody, whatever the files say.
            #[arg(id = concat!($prefix, "no-creds"), long = concat!($prefix, "no-creds"),
                conflicts_with_all = [concat!($prefix, "creds"), concat!($prefix, "username"), concat!($prefix, "registry-token")])]
            no_creds: bool,

            /// Whether the registry has to speak https with a certificate that we trust
            /// (default: yes, unless registries.conf calls it insecure).
            #[arg(id = concat!($prefix, "tls-verify"), long = concat!($prefix, "tls-verify"), value_name = "BOOL",
                num_args = 0..=1, require_equals = true, default_missing_value = "true")]
            tls_verify: Option<bool>,
        }

        impl From<&$name> for Given {
            fn from(arguments: &$name) -> Given {
                Given {
                    authfile: arguments.authfile.clone(),
                    cert_dir: arguments.cert_dir.clone(),
                    creds: arguments.creds.clone(),
                    username: arguments.username.clone(),
                    password: arguments.password.clone(),
                    registry_token: arguments.registry_token.clone(),
                    no_creds: arguments.no_creds,
                    tls_verify: arguments.tls_verify,
                }
            }
        }
    };
}

access_arguments!(Access, "", "The registry");
access_arguments!(SourceAccess, "src-", "The source's registry");
access_arguments!(DestinationAccess, "dest-", "The destination's registry");

impl Access {
    /// As the session wants it.
    pub fn options(&self, connection: &Connection) -> Result<SessionOptions> {
        connection.options(&Given::from(self))
    }
}

/// What holds for both registries of a copy, unless a flag with `src-` or `dest-` says otherwise.
#[derive(Debug, Args)]
#[command(next_help_heading = "Both registries")]
pub struct BothAccess {
    /// A file of credentials for both.
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Whether both have to speak https with a certificate that we trust.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls_verify: Option<bool>,
}

impl BothAccess {
    /// As the sessions with the two want it: that which is read from, and that which is written to.
    pub fn options(
        &self,
        source: &SourceAccess,
        destination: &DestinationAccess,
        connection: &Connection,
    ) -> Result<(SessionOptions, SessionOptions)> {
        Ok((
            self.options_of_one(source, connection)?,
            self.options_of_one(destination, connection)?,
        ))
    }

    fn options_of_one(
        &self,
        own: impl Into<Given>,
        connection: &Connection,
    ) -> Result<SessionOptions> {
        let mut given = own.into();
        given.authfile = given.authfile.or_else(|| self.authfile.clone());
        given.tls_verify = given.tls_verify.or(self.tls_verify);
        connection.options(&given)
    }
}

/// What holds for all registries of one command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connections")]
pub struct Connection {
    /// How often a request is tried again that failed in a way that may pass. Each wait is twice
    /// as long as the one before, and as long as the registry asks for.
    #[arg(long, value_name = "N", default_value_t = 3)]
    retry_times: u32,

    /// Give up on a connection that is silent for so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    idle_timeout: f64,

    /// The registries.conf in place of $CONTAINERS_REGISTRIES_CONF, ~/.config/containers/ and
    /// /etc/containers/ (short names, mirrors, insecure and blocked registries).
    #[arg(long, value_name = "FILE")]
    registries_conf: Option<PathBuf>,
}

impl Connection {
    /// What this host says of registries.
    pub fn configuration(&self) -> Result<Configuration> {
        Configuration::read(self.registries_conf.as_deref())
    }

    fn options(&self, given: &Given) -> Result<SessionOptions> {
        Ok(SessionOptions {
            insecure: given.tls_verify.map(|verify| !verify),
            certificates: given.cert_dir.clone(),
            credential_file: given.authfile.clone(),
            credentials: given.credentials()?,
            idle: Duration::from_secs_f64(self.idle_timeout),
            retry: RetryPolicy {
                times: self.retry_times,
                ..RetryPolicy::default()
            },
        })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 86400".to_owned()),
    }
}
