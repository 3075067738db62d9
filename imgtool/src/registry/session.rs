//! Speaking to one registry as somebody.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use ureq::http::Method;

use super::authorization::Authorizer;
use super::challenge;
use super::credentials::Credentials;
use crate::http::client::Payload;
use crate::http::retry::{Retry, RetryPolicy};
use crate::http::tls::{Trust, certificate_directories};
use crate::http::{Answer, Client, Request, RequestError, Url};

/// How we speak to registries.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Take any certificate, or plain http; unless set, as the configuration says.
    pub insecure: Option<bool>,
    /// Certificates in place of the host's `certs.d`.
    pub certificates: Option<PathBuf>,
    /// A file of credentials in place of the usual ones.
    pub credential_file: Option<PathBuf>,
    /// Who we are, whatever the files say.
    pub credentials: Option<Credentials>,
    /// How long a connection may be silent.
    pub idle: Duration,
    /// How often to try again.
    pub retry: RetryPolicy,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            insecure: None,
            certificates: None,
            credential_file: None,
            credentials: None,
            idle: Duration::from_secs(30),
            retry: RetryPolicy::default(),
        }
    }
}

impl SessionOptions {
    /// The same for a mirror on another host, which gets neither credentials nor certificates that
    /// the caller gave for the registry. What the files keep for the mirror's own host counts.
    #[must_use]
    pub fn for_mirror(&self) -> Self {
        let anybody = self.credentials.clone();
        SessionOptions {
            certificates: None,
            credentials: anybody.filter(|who| *who == Credentials::None),
            ..self.clone()
        }
    }
}

/// A registry that we speak to.
#[derive(Debug)]
pub struct Session {
    /// Its host and port.
    pub host: String,
    /// Trying again.
    pub retry: Retry,
    /// How long a connection may be silent.
    pub idle: Duration,
    client: Client,
    authorizer: Authorizer,
    insecure: bool,
    /// Whether it is https, once that is known.
    secure: OnceLock<bool>,
}

/// A request to a registry's API.
#[derive(Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: Method,
    /// The path below `/v2/` and the query.
    pub path: String,
    /// What we have to be allowed to do (`repository:NAME:pull`).
    pub scope: &'a str,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Session {
    /// Speaks to a host as somebody. Nothing is sent yet.
    pub fn new(host: &str, insecure: bool, who: Credentials, options: &SessionOptions) -> Self {
        let insecure = options.insecure.unwrap_or(insecure);
        let directories = match &options.certificates {
            Some(directory) => vec![directory.clone()],
            None => certificate_directories(host),
        };
        let trust = Trust {
            insecure,
            directories,
        };
        let secure = if insecure {
            OnceLock::new()
        } else {
            // There is nothing to find out.
            OnceLock::from(true)
        };
        Session {
            host: host.to_owned(),
            retry: Retry::new(options.retry),
            idle: options.idle,
            client: Client::new(host, trust, options.idle),
            authorizer: Authorizer::new(who),
            insecure,
            secure,
        }
    }

    /// The address of a path below `/v2/`.
    pub fn url(&self, path: &str) -> Result<Url> {
        Ok(Url::new(
            self.is_secure()?,
            &self.host,
            &format!("/v2/{path}"),
        )?)
    }

    /// Whether the registry speaks https. An insecure one is asked, https first.
    fn is_secure(&self) -> Result<bool> {
        if let Some(&secure) = self.secure.get() {
            return Ok(secure);
        }
        let ask = |secure| {
            let url = Url::new(secure, &self.host, "/v2/")?;
            self.client.send(Request::new(Method::GET, url))
        };
        let secure = match ask(true) {
            Ok(_) => true,
            Err(over_tls) => match self.retry.run(|| ask(false)) {
                Ok(_) => false,
                Err(plain) => {
                    return Err(plain.context(format!("neither by https ({over_tls}) nor by http")));
                }
            },
        };
        Ok(*self.secure.get_or_init(|| secure))
    }

    /// Asks for something, once, proving who we are if the registry wants to know.
    pub fn call(&self, call: &Call<'_>) -> Result<Answer> {
        let url = self.url(&call.path)?;
        self.send(&url, call, || Ok(Payload::None))
    }

    /// Sends a request to an address that the registry may have given us, which gets proof of who
    /// we are only if it is the registry itself. `payload` is called for every try.
    pub fn send<'p>(
        &self,
        url: &Url,
        call: &Call<'_>,
        mut payload: impl FnMut() -> Result<Payload<'p>>,
    ) -> Result<Answer> {
        let home = self.url("")?;
        let at_home = url.same_origin(&home);
        if home.secure && !url.secure && !self.insecure {
            let problem = format!("the registry sends us to {}", url.without_query());
            let call = format!("{} {}", call.method, home);
            return Err(RequestError::Answer { call, problem }.into());
        }
        let known = if at_home {
            self.authorizer.header(call.scope)
        } else {
            None
        };
        let request = |authorization, payload| Request {
            method: call.method.clone(),
            url: url.clone(),
            headers: call.headers.clone(),
            authorization,
            payload,
        };
        let answer = self.client.send(request(known.clone(), payload()?))?;
        // A demand counts only from the registry itself, not from where it redirected us to.
        if answer.status != 401 || answer.elsewhere || !at_home {
            return Ok(answer);
        }
        let challenges = challenge::parse(answer.headers("www-authenticate"));
        let header = self
            .authorizer
            .answer(
                &self.client,
                &home,
                &challenges,
                call.scope,
                known.as_deref(),
            )
            .with_context(|| format!("log in to {}", self.host))?;
        match header {
            Some(header) => self.client.send(request(Some(header), payload()?)),
            None => Ok(answer),
        }
    }

    /// Whether we may speak to the registry at all: what `login` asks.
    pub fn check(&self) -> Result<()> {
        let call = Call {
            method: Method::GET,
            path: String::new(),
            scope: "",
            headers: Vec::new(),
        };
        let answer = self.retry.run(|| self.call(&call))?;
        match answer.status {
            200 => Ok(()),
            _ => Err(answer.into_error()),
        }
    }
}
