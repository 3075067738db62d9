//! Proving to a registry who we are: a name and password, or tokens that we get for them
//! (distribution's "token authentication" and "OAuth2 token" specifications).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::Method;

use super::challenge::Challenge;
use super::credentials::Credentials;
use crate::http::client::Payload;
use crate::http::url::percent_encoded;
use crate::http::{Client, Request, Url};

/// Bytes of a token server's answer.
const LARGEST_TOKEN: u64 = 256 << 10;
/// How long a token lasts whose server doesn't say.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// The longest that we believe a token to last.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(10);

/// The proofs for one registry.
#[derive(Debug)]
pub struct Authorizer {
    credentials: Credentials,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The registry wants the password itself.
    basic: bool,
    /// `Authorization` headers by what they allow.
    tokens: HashMap<String, Token>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.tokens.len())
    }
}

struct Token {
    header: String,
    until: Instant,
}

/// The server's answer. Either name of the token will do.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Authorizer {
    /// With what we know of ourselves.
    pub fn new(credentials: Credentials) -> Self {
        let state = State::default();
        let authorizer = Authorizer {
            credentials,
            state: Mutex::new(state),
        };
        if let Credentials::Token(token) = &authorizer.credentials {
            // It is what a token server would have given.
            authorizer.remember("*", token, LONGEST_LIFE);
        }
        authorizer
    }

    /// The header for a request, as far as we know what the registry wants.
    pub fn header(&self, scope: &str) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.basic {
            return self.basic();
        }
        let token = state.tokens.get(scope).or_else(|| state.tokens.get("*"))?;
        (token.until > Instant::now()).then(|| token.header.clone())
    }

    fn basic(&self) -> Option<String> {
        let Credentials::Password { user, password } = &self.credentials else {
            return None;
        };
        let pair = STANDARD.encode(format!("{user}:{password}"));
        Some(format!("Basic {pair}"))
    }

    /// Answers what the registry at `origin` demanded; the header for the next try. Nothing where
    /// there is no answer, or it was the one that has been refused.
    pub fn answer(
        &self,
        client: &Client,
        origin: &Url,
        challenges: &[Challenge],
        scope: &str,
        refused: Option<&str>,
    ) -> Result<Option<String>> {
        for challenge in challenges {
            let header = match challenge {
                Challenge::Basic => self.basic().inspect(|_| self.use_basic()),
                Challenge::Bearer {
                    realm,
                    service,
                    scope: demanded,
                } => {
                    if matches!(self.credentials, Credentials::Token(_)) {
                        return Ok(None);
                    }
                    let wanted = scopes(scope, demanded.as_deref());
                    let url = token_address(origin, realm, service.as_deref())?;
                    let token = self.fetch(client, &url, service.as_deref(), &wanted)?;
                    Some(self.remember(scope, &token.0, token.1))
                }
            };
            if header.is_some() && header.as_deref() != refused {
                return Ok(header);
            }
        }
        Ok(None)
    }

    fn use_basic(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.basic = true;
    }

    fn remember(&self, scope: &str, token: &str, life: Duration) -> String {
        let header = format!("Bearer {token}");
        let life = life.min(LONGEST_LIFE).saturating_sub(MARGIN);
        let until = Instant::now() + life.max(Duration::from_secs(1));
        let token = Token {
            header: header.clone(),
            until,
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tokens.insert(scope.to_owned(), token);
        header
    }

    fn fetch(
        &self,
        client: &Client,
        url: &Url,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<(String, Duration)> {
        let form;
        let mut request = if let Credentials::IdentityToken(token) = &self.credentials {
            form = refresh_form(token, service, scopes);
            let mut request = Request::new(Method::POST, url.clone());
            let kind = "application/x-www-form-urlencoded".to_owned();
            request.headers.push(("content-type", kind));
            request.payload = Payload::Bytes(form.as_bytes());
            request
        } else {
            let url = scopes
                .iter()
                .fold(url.clone(), |url, scope| url.with_parameter("scope", scope));
            let url = match &self.credentials {
                Credentials::Password { user, .. } => url.with_parameter("account", user),
                _ => url,
            };
            Request::new(Method::GET, url)
        };
        request.authorization = self.basic();
        let answer = client.send(request)?;
        if answer.status != 200 {
            return Err(answer.into_error()).context("can't get a token");
        }
        let call = answer.call.clone();
        let bytes = answer.document(LARGEST_TOKEN)?;
        // The error of the JSON reader could quote the token.
        let token: TokenAnswer = serde_json::from_slice(&bytes)
            .ok()
            .with_context(|| format!("{call}: the answer is not a token"))?;
        let life = token.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
        let text = token.token.filter(|text| !text.is_empty());
        let text = text
            .or(token.access_token)
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .with_context(|| format!("{call}: the answer holds no token"))?;
        Ok((text, life))
    }
}

/// What we want, and what the registry says that it takes.
fn scopes(wanted: &str, demanded: Option<&str>) -> Vec<String> {
    let mut scopes: Vec<String> = wanted.split_whitespace().map(str::to_owned).collect();
    for scope in demanded.into_iter().flat_map(str::split_whitespace) {
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// Where tokens come from: the registry names the server, but a password that was to travel
/// encrypted doesn't go in the clear for it.
fn token_address(origin: &Url, realm: &str, service: Option<&str>) -> Result<Url> {
    let url: Url = realm
        .parse()
        .with_context(|| format!("the token server of {}", origin.authority))?;
    if origin.secure && !url.secure {
        bail!(
            "{} asks for a token from {}, which is not https",
            origin.authority,
            url.without_query()
        );
    }
    Ok(match service {
        Some(service) => url.with_parameter("service", service),
        None => url,
    })
}

fn refresh_form(token: &str, service: Option<&str>, scopes: &[String]) -> String {
    format!(
        "grant_type=refresh_token&service={}&client_id=windlass-img&scope={}&refresh_token={}",
        percent_encoded(service.unwrap_or_default()),
        percent_encoded(&scopes.join(" ")),
        percent_encoded(token)
    )
}
