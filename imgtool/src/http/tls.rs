//! Whom we trust: the system's certificates, and those that the administrator keeps for a host
//! (containers-certs.d(5)).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::crypto::CryptoProvider;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

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
pub(super) fn config(trust: &Trust) -> Result<TlsConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut files = CertificateFiles::default();
    for directory in &trust.directories {
        files.read(directory)?;
    }
    let client = files.client(&provider)?;
    let mut roots = files.authorities;
    if !trust.insecure {
        // Certificates that can't be read show as servers that can't be verified.
        let system = rustls_native_certs::load_native_certs().certs;
        roots.extend(
            system
                .iter()
                .map(|certificate| Certificate::from_der(certificate).to_owned()),
        );
    }
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .disable_verification(trust.insecure)
        .client_cert(client)
        .build())
}

#[derive(Default)]
struct CertificateFiles {
    authorities: Vec<Certificate<'static>>,
    chain: Vec<Certificate<'static>>,
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
                    (Some("crt"), PemItem::Certificate(found)) => self.authorities.push(found),
                    (Some("cert"), PemItem::Certificate(found)) => self.chain.push(found),
                    (Some("key"), PemItem::PrivateKey(found)) => self.key = Some(found),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Our own certificate, if its key belongs to it.
    fn client(&self, provider: &CryptoProvider) -> Result<Option<ClientCert>> {
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let key = match (&self.key, self.chain.is_empty()) {
            (None, true) => return Ok(None),
            (Some(key), false) => key,
            (Some(_), true) => bail!("there is a client key (*.key), but no certificate (*.cert)"),
            (None, false) => bail!("there is a client certificate (*.cert), but no key (*.key)"),
        };
        let der = PrivateKeyDer::try_from(key.der().to_vec())
            .map_err(|problem| anyhow::anyhow!("the client key (*.key): {problem}"))?;
        let chain = self
            .chain
            .iter()
            .map(|certificate| CertificateDer::from(certificate.der().to_vec()))
            .collect();
        rustls::sign::CertifiedKey::from_der(chain, der, provider)
            .context("the client certificate (*.cert) and its key (*.key) don't go together")?;
        Ok(Some(ClientCert::new_with_certs(
            &self.chain,
            key.to_owned(),
        )))
    }
}
