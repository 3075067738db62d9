//! Whom we trust: the system's certificates, and those that the administrator keeps for a host
//! (containers-certs.d(5)).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{PemItem, PrivateKey, parse_pem};

use super::certificate_check::{Anybody, TrustedOnly};

/// What proves a server to us, and us to it.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Take any certificate, and plain http where there is no https.
    pub insecure: bool,
    /// Directories with `*.crt` (authorities), `*.cert` and `*.key` (our own).
    pub directories: Vec<PathBuf>,
}

/// Directories in which a host's certificates are looked for, by registries' host names.
pub fn certificate_directories(authority: &str) -> Vec<PathBuf> {
    // The name comes from the caller's reference; it can't lead elsewhere.
    if authority.contains('/') || authority.starts_with('.') {
        return Vec::new();
    }
    let mut directories = Vec::new();
    if let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) {
        directories.push(Path::new(&home).join(".config/containers/certs.d"));
    }
    directories.push(PathBuf::from("/etc/containers/certs.d"));
    directories.push(PathBuf::from("/etc/docker/certs.d"));
    // The first that is there, as the other tools have it.
    directories
        .into_iter()
        .map(|directory| directory.join(authority))
        .find(|directory| directory.is_dir())
        .into_iter()
        .collect()
}

/// Makes rustls' settings of it.
pub(super) fn config(trust: &Trust) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut files = CertificateFiles::default();
    for directory in &trust.directories {
        files.read(directory)?;
    }
    let check: Arc<dyn ServerCertVerifier> = if trust.insecure {
        Arc::new(Anybody(provider.clone()))
    } else {
        let mut trusted = std::mem::take(&mut files.authorities);
        // Certificates that can't be read show as servers that can't be verified.
        trusted.extend(rustls_native_certs::load_native_certs().certs);
        let check = TrustedOnly::new(trusted, &provider);
        Arc::new(
            check.context("there is no certificate of an authority to trust (ca-certificates)")?,
        )
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(check);
    let config = match files.client()? {
        None => config.with_no_client_auth(),
        Some((chain, key)) => config
            .with_client_auth_cert(chain, key)
            .context("the client certificate (*.cert) and its key (*.key) don't go together")?,
    };
    Ok(Arc::new(config))
}

/// A certificate of ours with those that vouch for it, and its key.
type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

#[derive(Default)]
struct CertificateFiles {
    authorities: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    key: Option<PrivateKey<'static>>,
}

impl CertificateFiles {
    fn read(&mut self, directory: &Path) -> Result<()> {
        let listing = std::fs::read_dir(directory)
            .with_context(|| format!("read directory {}", directory.display()))?;
        for entry in listing {
            let path = entry
                .with_context(|| format!("read directory {}", directory.display()))?
                .path();
            let kind = path.extension().and_then(|extension| extension.to_str());
            if !matches!(kind, Some("crt" | "cert" | "key")) {
                continue;
            }
            let pem = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            for item in parse_pem(&pem) {
                let item = item.with_context(|| format!("{} is not PEM", path.display()))?;
                match (kind, item) {
                    (Some("crt"), PemItem::Certificate(found)) => {
                        self.authorities.push(found.der().to_vec().into());
                    }
                    (Some("cert"), PemItem::Certificate(found)) => {
                        self.chain.push(found.der().to_vec().into());
                    }
                    (Some("key"), PemItem::PrivateKey(found)) => self.key = Some(found),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Our own certificate and its key.
    fn client(self) -> Result<Option<ClientCertificate>> {
        let key = match (&self.key, self.chain.is_empty()) {
            (None, true) => return Ok(None),
            (Some(key), false) => key,
            (Some(_), true) => bail!("there is a client key (*.key), but no certificate (*.cert)"),
            (None, false) => bail!("there is a client certificate (*.cert), but no key (*.key)"),
        };
        let key = PrivateKeyDer::try_from(key.der().to_vec())
            .map_err(|problem| anyhow::anyhow!("the client key (*.key): {problem}"))?;
        Ok(Some((self.chain, key)))
    }
}
