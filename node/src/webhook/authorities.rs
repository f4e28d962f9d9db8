//! Whose certificates a webhook's receiver may show: those of the system's authorities, and of a company's own
//! from a file. A certificate that none of them signed, that is for another name or not of today ends the
//! connection before anything is sent.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::Error;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// Most bytes of a file of authorities.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file of certificate authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthoritiesError {
    /// It cannot be read.
    #[error("{}: cannot read the certificate authorities for webhooks", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too large to be a list of certificates.
    #[error("{}: {found} bytes are no list of certificate authorities, which has at most {FILE_BYTES_MAX}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
    },
    /// Something in it is no certificate, or nothing is.
    #[error("{}: {detail}; give the authority's certificate in PEM (-----BEGIN CERTIFICATE-----)", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// The authorities that webhooks are checked against. By default only the system's.
#[derive(Debug, Default)]
pub struct Authorities {
    own: Vec<CertificateDer<'static>>,
    /// Together with the system's, which are read at the first message over https.
    all: OnceLock<RootCerts>,
}

impl Authorities {
    /// The system's authorities and those in a PEM file of at most 1 MiB.
    ///
    /// # Errors
    /// [`AuthoritiesError`] when the file cannot be read, or anything in it is no certificate.
    pub fn with_file(path: &Path) -> Result<Self, AuthoritiesError> {
        let unreadable = |source| AuthoritiesError::Read {
            path: path.to_owned(),
            source,
        };
        let found = std::fs::metadata(path).map_err(unreadable)?.len();
        if found > FILE_BYTES_MAX {
            let path = path.to_owned();
            return Err(AuthoritiesError::TooLarge { path, found });
        }
        let pem = std::fs::read(path).map_err(unreadable)?;
        let wrong = |detail: String| AuthoritiesError::Certificate {
            path: path.to_owned(),
            detail,
        };
        let own = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let own = own.map_err(|e| wrong(e.to_string()))?;
        if own.is_empty() {
            return Err(wrong("it holds no certificate".to_owned()));
        }
        let mut roots = rustls::RootCertStore::empty();
        for (at, certificate) in own.iter().enumerate() {
            let added = roots.add(certificate.clone());
            added.map_err(|e| wrong(format!("certificate {} cannot be used ({e})", at + 1)))?;
        }
        Ok(Self {
            own,
            all: OnceLock::new(),
        })
    }

    pub(super) fn tls(&self) -> TlsConfig {
        let all = self.all.get_or_init(|| {
            let system = rustls_native_certs::load_native_certs();
            for error in &system.errors {
                tracing::warn!(%error, "a certificate authority of the system cannot be read");
            }
            let owned = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
            RootCerts::from(system.certs.iter().chain(&self.own).map(owned))
        });
        TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(all.clone())
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build()
    }
}

/// Why a message was not sent, in words that say what to do about certificates.
pub(super) fn explained(error: &Error) -> String {
    let found = match error {
        Error::Rustls(error) => Some(error),
        Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    match found {
        Some(rustls::Error::InvalidCertificate(reason)) => certificate_refused(reason),
        _ => error.to_string(),
    }
}

fn certificate_refused(reason: &CertificateError) -> String {
    let detail = match reason {
        // Another authority of the same name is as unknown as one of another name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority that this node trusts has signed it; name the company's own with \
             `fieldmark node run --webhook-ca FILE` or `webhook_ca` in config.toml"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name than the webhook's address has"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; check this machine's clock"
        }
        other => return format!("the receiver's certificate is refused: {other}"),
    };
    format!("the receiver's certificate is refused: {detail}")
}

#[cfg(test)]
mod tests;
