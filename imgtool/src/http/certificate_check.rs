//! Whether a server's certificate is one to believe.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

/// What rustls' own check says of an authority's certificate that a server shows for itself. It
/// looks at the dates before.
const AUTHORITY_ITSELF: &str = "CaUsedAsEndEntity";

/// As rustls checks, and as Go does on top of it: what `openssl req -x509` makes says that it is an
/// authority; a server that shows such a certificate of its own is believed if just that
/// certificate is trusted.
#[derive(Debug)]
pub(super) struct TrustedOnly {
    check: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl TrustedOnly {
    /// Believes these, and what they vouch for.
    pub(super) fn new(
        trusted: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        // It fails without any certificate alone.
        let check = builder.build().ok()?;
        Some(TrustedOnly { check, trusted })
    }
}

impl ServerCertVerifier for TrustedOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = self.check.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match checked {
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(problem))))
                if problem.to_string() == AUTHORITY_ITSELF =>
            {
                if !self.trusted.iter().any(|known| known == end_entity) {
                    return Err(CertificateError::UnknownIssuer.into());
                }
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            checked => checked,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let check = &self.check;
        check.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let check = &self.check;
        check.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.check.supported_verify_schemes()
    }
}

/// Believes anybody, since the caller said so (`--tls-verify=false`).
#[derive(Debug)]
pub(super) struct Anybody(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ureq::tls::{PemItem, parse_pem};

    use super::*;

    /// What `openssl req -x509 -nodes -days 365 -addext
    /// subjectAltName=DNS:registry.example,IP:127.0.0.1` makes: it says `CA:TRUE`.
    const SELF_SIGNED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnTCCAUSgAwIBAgIUXFxgRmdndw7u6093aQSafplDTnMwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIcmVnaXN0cnkwHhcNMjYxMTIyMjEyNjQ4WhcNMjcxMTIyMjEy
NjQ4WjATMREwDwYDVQQDDAhyZWdpc3RyeTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABFn1HiZ+HaS06Y0LIFkjFmaTuS708qb/rN0HCzfqIIBMxY5qhrtstmmRLs3o
cmhUlJOLCx9mM72DqgRVaGPxG9ujdjB0MB0GA1UdDgQWBBRRGYjkXLCb/SB7gGoN
COT5MtlDfjAfBgNVHSMEGDAWgBRRGYjkXLCb/SB7gGoNCOT5MtlDfjAPBgNVHRMB
Af8EBTADAQH/MCEGA1UdEQQaMBiCEHJlZ2lzdHJ5LmV4YW1wbGWHBH8AAAEwCgYI
KoZIzj0EAwIDRwAwRAIgUSy4/YWtxFGOM4NV+e4DRhI4UW0GYpQz82T6CM7xV1kC
IE81J2VlAyz6ltVmQmh6JU00JEDNC6PPRgltxRGJU+jT
-----END CERTIFICATE-----
";
    const NOT_BEFORE: u64 = 1_795_382_808;
    const DAY: u64 = 86400;

    fn certificate() -> CertificateDer<'static> {
        match parse_pem(SELF_SIGNED.as_bytes()).next() {
            Some(Ok(PemItem::Certificate(found))) => found.der().to_vec().into(),
            _ => panic!("no certificate"),
        }
    }

    #[test]
    fn a_certificate_that_is_its_own_authority_is_believed_where_it_is_trusted() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let check = |trusted: CertificateDer<'static>, name: &'static str, day: u64| {
            let name = ServerName::try_from(name).unwrap();
            let seconds = Duration::from_secs(NOT_BEFORE + day * DAY);
            let now = UnixTime::since_unix_epoch(seconds);
            let check = TrustedOnly::new(vec![trusted], &provider).unwrap();
            check
                .verify_server_cert(&certificate(), &[], &name, &[], now)
                .map(drop)
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(certificate(), "registry.example", 1), Ok(()));
        assert_eq!(check(certificate(), "127.0.0.1", 364), Ok(()));
        let refused = |result: Result<(), String>, why: &str| {
            let error = result.unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused(
            check(certificate(), "other.example", 1),
            "not valid for name",
        );
        refused(check(certificate(), "registry.example", 366), "expired");
        // One that can be read, and is another in its last byte alone.
        let mut other = certificate().to_vec();
        *other.last_mut().unwrap() ^= 1;
        refused(check(other.into(), "registry.example", 1), "UnknownIssuer");
    }
}
