//! One request and its answer.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ureq::http::{self, HeaderMap, Method};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, SendBody};

use super::error::RequestError;
use super::patience::Patience;
use super::retry::retry_after;
use super::tls::{self, Trust};
use super::tls_connection::TlsConnector;
use super::url::Url;

/// Redirects followed for one request.
const MOST_REDIRECTS: usize = 5;
/// Bytes of an answer's head.
const LARGEST_HEAD: usize = 64 << 10;
/// Bytes of an error's body that we look at.
const LARGEST_COMPLAINT: u64 = 64 << 10;
/// Bytes of a connection's buffers, each way.
const BUFFER: usize = 128 << 10;

/// Talks to one server, its home, and to those that it sends us to.
#[derive(Debug)]
pub struct Client {
    trust: Trust,
    idle: Duration,
    /// By scheme and authority; only the home's has the home's certificates.
    agents: Mutex<HashMap<(bool, String), Agent>>,
    home: String,
}

/// What is asked of a server.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// Headers, except for the two below.
    pub headers: Vec<(&'static str, String)>,
    /// The `Authorization` header: goes to `url`'s own server alone, whoever redirects us.
    pub authorization: Option<String>,
    /// What is sent.
    pub payload: Payload<'a>,
}

/// What a request carries.
pub enum Payload<'a> {
    /// Nothing.
    None,
    /// A few bytes.
    Bytes(&'a [u8]),
    /// Many bytes, exactly so many.
    Stream(Box<dyn Read + 'a>, u64),
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::None => f.write_str("None"),
            Payload::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Payload::Stream(_, length) => write!(f, "stream of {length} bytes"),
        }
    }
}

impl Request<'_> {
    /// A request without headers and payload.
    pub fn new(method: Method, url: Url) -> Self {
        Request {
            method,
            url,
            headers: Vec::new(),
            authorization: None,
            payload: Payload::None,
        }
    }

    fn call(&self) -> String {
        format!("{} {}", self.method, self.url.without_query())
    }
}

/// What a server answered; any status.
#[derive(Debug)]
pub struct Answer {
    /// The request, as errors name it.
    pub call: String,
    /// Where it came from, redirects followed.
    pub url: Url,
    /// Whether that is another server than the one that was asked.
    pub elsewhere: bool,
    /// The HTTP status.
    pub status: u16,
    headers: HeaderMap,
    /// How long its connection may be silent.
    idle: Duration,
    /// What follows the head.
    pub body: Body,
}

impl Client {
    /// A client for a server. `idle` is how long a connection may be silent.
    pub fn new(home: &str, trust: Trust, idle: Duration) -> Self {
        Client {
            trust,
            idle,
            agents: Mutex::default(),
            home: home.to_owned(),
        }
    }

    /// Sends a request and reads the answer's head. GET and HEAD follow redirects.
    pub fn send(&self, request: Request<'_>) -> Result<Answer> {
        let Request {
            method,
            url,
            headers,
            mut authorization,
            mut payload,
        } = request;
        let follows = method == Method::GET || method == Method::HEAD;
        let origin = url.clone();
        let mut url = url;
        for _ in 0..=MOST_REDIRECTS {
            let this = Request {
                method: method.clone(),
                url: url.clone(),
                headers: headers.clone(),
                authorization: authorization.clone(),
                payload: std::mem::replace(&mut payload, Payload::None),
            };
            let mut answer = self.send_once(this)?;
            answer.elsewhere = !answer.url.same_origin(&origin);
            let redirected = matches!(answer.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = answer.header("location").filter(|_| follows && redirected) else {
                return Ok(answer);
            };
            let problem = |problem: String| RequestError::Answer {
                call: answer.call.clone(),
                problem,
            };
            let next = url
                .join(location)
                .map_err(|error| problem(error.to_string()))?;
            if url.secure && !next.secure && !self.trust.insecure {
                let target = next.without_query();
                return Err(problem(format!("redirected from https to {target}")).into());
            }
            if !next.same_origin(&origin) {
                // CVE-2020-15157 and its kind: another server gets nothing that was meant for
                // this one, even if it sends us back here.
                authorization = None;
            }
            url = next;
        }
        Err(RequestError::Answer {
            call: format!("{method} {}", origin.without_query()),
            problem: format!("redirected more than {MOST_REDIRECTS} times"),
        }
        .into())
    }

    fn send_once(&self, request: Request<'_>) -> Result<Answer> {
        let call = request.call();
        let agent = self.agent(&request.url)?;
        let mut builder = http::Request::builder()
            .method(request.method)
            .uri(request.url.to_string());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = &request.authorization {
            builder = builder.header("authorization", authorization);
        }
        let context = || format!("make the request {call}");
        let result = match request.payload {
            Payload::None => agent.run(builder.body(()).with_context(context)?),
            Payload::Bytes(bytes) => agent.run(builder.body(bytes).with_context(context)?),
            Payload::Stream(mut reader, length) => {
                let body = SendBody::from_reader(&mut reader);
                let builder = builder.header("content-length", length);
                agent.run(builder.body(body).with_context(context)?)
            }
        };
        let (head, body) = match result {
            Ok(response) => response.into_parts(),
            Err(error) => return Err(failed(&call, error)),
        };
        Ok(Answer {
            url: request.url,
            elsewhere: false,
            status: head.status.as_u16(),
            headers: head.headers,
            idle: self.idle,
            body: Body {
                call: call.clone(),
                reader: Box::new(body.into_reader()),
            },
            call,
        })
    }

    fn agent(&self, url: &Url) -> Result<Agent> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (url.secure, url.authority.clone());
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let agent = self.new_agent(url)?;
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    fn new_agent(&self, url: &Url) -> Result<Agent> {
        let at_home = url.authority == self.home;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("windlass-img/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .max_response_header_size(LARGEST_HEAD)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .timeout_resolve(Some(self.idle))
            .timeout_connect(Some(self.idle))
            .timeout_send_request(Some(self.idle))
            // A head may take longer than one silence: a registry that verifies what it got.
            .timeout_recv_response(Some(self.idle * 4));
        let mut tls = None;
        if url.secure {
            let trust = if at_home {
                self.trust.clone()
            } else {
                Trust {
                    insecure: self.trust.insecure,
                    directories: tls::certificate_directories(&url.authority),
                }
            };
            let context = || format!("certificates for {}", url.authority);
            tls = Some(tls::config(&trust).with_context(context)?);
        }
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(Patience { idle: self.idle })
                .chain(TlsConnector { config: tls });
        Ok(Agent::with_parts(
            config.build(),
            connector,
            DefaultResolver::default(),
        ))
    }
}

impl Answer {
    /// A header's value, if it is there once at least and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All values of a header.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(name).into_iter();
        values.filter_map(|value| value.to_str().ok())
    }

    /// The length that the server announces.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// Reads a body of at most `limit` bytes, within four silences' time.
    pub fn document(mut self, limit: u64) -> Result<Vec<u8>> {
        let problem = |problem: String| RequestError::Answer {
            call: self.call.clone(),
            problem,
        };
        let too_large = || {
            problem(format!(
                "the answer is larger than our limit of {limit} bytes"
            ))
        };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_large().into());
        }
        let started = Instant::now();
        let mut bytes = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            let count = self.body.read(&mut piece)?;
            if count == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&piece[..count]);
            if bytes.len() as u64 > limit {
                return Err(too_large().into());
            }
            if started.elapsed() > self.idle * 4 {
                let seconds = started.elapsed().as_secs();
                let problem = problem(format!("the answer has not ended after {seconds} s"));
                return Err(problem.into());
            }
        }
    }

    /// The error that this answer is.
    pub fn into_error(self) -> anyhow::Error {
        let (call, status) = (self.call.clone(), self.status);
        let wait = self.header("retry-after").and_then(retry_after);
        // What an error says is of use, but not at any price.
        let detail = match self.document(LARGEST_COMPLAINT) {
            Ok(body) => complaint(&body),
            Err(_) => String::new(),
        };
        RequestError::Status {
            call,
            status,
            detail,
            wait,
        }
        .into()
    }
}

/// A line of what a registry says of an error (distribution-spec, "Error Codes"), or nothing.
fn complaint(body: &[u8]) -> String {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(body) else {
        return String::new();
    };
    let text = |error: &serde_json::Value, name: &str| {
        let value = error.get(name).and_then(serde_json::Value::as_str);
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let errors = document.get("errors").and_then(serde_json::Value::as_array);
    let parts: Vec<String> = errors
        .into_iter()
        .flatten()
        .filter_map(|error| text(error, "message").or_else(|| text(error, "code")))
        .collect();
    let parts = if parts.is_empty() {
        // Token servers say it so, or with "error" (RFC 6749, section 5.2).
        text(&document, "details")
            .or_else(|| text(&document, "error_description"))
            .or_else(|| text(&document, "error"))
            .into_iter()
            .collect()
    } else {
        parts
    };
    if parts.is_empty() {
        return String::new();
    }
    let line: String = parts.join("; ").chars().take(300).collect();
    format!(": {}", line.escape_debug())
}

/// What follows an answer's head. Errors of reading are [`RequestError`]s within the `io::Error`.
pub struct Body {
    call: String,
    reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body of {}", self.call)
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer).map_err(|error| {
            io::Error::other(RequestError::Connection {
                call: self.call.clone(),
                problem: format!("the answer broke off: {error}"),
                may_pass: true,
            })
        })
    }
}

/// Why there is no answer.
fn failed(call: &str, error: ureq::Error) -> anyhow::Error {
    // Our own readers' errors come back as they are.
    let error = match error {
        ureq::Error::Io(error)
            if error
                .get_ref()
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<OurOwn>) =>
        {
            return anyhow::Error::from(error).context(call.to_owned());
        }
        other => other,
    };
    let may_pass = match &error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => {
            let tls = error
                .get_ref()
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
            !tls && error.kind() != io::ErrorKind::ConnectionRefused
        }
        _ => false,
    };
    let problem = match &error {
        ureq::Error::Io(error) if error.to_string().contains("InvalidContentType") => {
            "the answer is not TLS (for a registry that speaks http alone: --tls-verify=false, or \
             'insecure' in registries.conf)"
                .to_owned()
        }
        ureq::Error::Io(error) if error.to_string().contains("UnknownIssuer") => format!(
            "{error}: nobody whom we trust vouches for the server (an authority is trusted by a \
             *.crt file in --cert-dir or /etc/containers/certs.d/HOST)"
        ),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "the host's name is not known".to_owned(),
        ureq::Error::Timeout(timeout) => format!("no answer in time ({timeout})"),
        other => other.to_string(),
    };
    RequestError::Connection {
        call: call.to_owned(),
        problem,
        may_pass,
    }
    .into()
}

/// An error of what we were sending, not of the connection.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct OurOwn(pub anyhow::Error);
