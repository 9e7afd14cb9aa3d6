//! Certificates: those that this machine trusts, those of a file, and what is wrong with a
//! server's.

use std::{error::Error, io, path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// The certificates by which a server's certificate is judged.
pub fn trusted_certificates(ca_file: Option<&Path>) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    // This honours SSL_CERT_FILE and SSL_CERT_DIR, as OpenSSL does.
    let found = rustls_native_certs::load_native_certs();
    let mut certificates = found.certs;
    if let Some(path) = ca_file {
        let cannot_read = || format!("--ca-file {}: cannot be read as PEM", path.display());
        let own: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).with_context(cannot_read)?.collect();
        let own = own.with_context(cannot_read)?;
        if own.is_empty() {
            bail!("--ca-file {}: has no certificate in PEM form", path.display());
        }
        certificates.extend(own);
    }
    if certificates.is_empty() {
        let reason = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        bail!(
            "this machine has no trusted certificates{reason}; install ca-certificates, or name a \
             file of certificates with --ca-file or SSL_CERT_FILE"
        );
    }
    Ok(certificates)
}

/// The TLS settings of a websocket that trusts `certificates`.
pub fn client_config(certificates: Vec<CertificateDer<'static>>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Explains what is wrong if TLS is the cause of `error`, and what would be right; `None` if the
/// cause is another one.
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = error;
    let problem = loop {
        match tls_error(cause) {
            Some(problem) => break problem,
            None => cause = cause.source()?,
        }
    };
    Some(match problem {
        rustls::Error::InvalidCertificate(problem) => match problem {
            CertificateError::UnknownIssuer => {
                "the server's certificate is not trusted: it was not signed by an authority that this machine \
                 knows; if it is your own, name the authority's certificate with --ca-file"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the server's certificate is not trusted: it is for another host ({problem})")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate is not trusted: it has expired".to_owned()
            }
            problem => format!("the server's certificate is not trusted: {problem}"),
        },
        rustls::Error::InvalidMessage(_) => {
            "the server does not speak TLS on this port; use http:// if it is meant to be reached without".to_owned()
        }
        problem => format!("TLS failed: {problem}"),
    })
}

/// The error of TLS that `cause` is, or that it wraps. The HTTP client does not report an I/O
/// error that it wraps as its source.
fn tls_error<'e>(cause: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let io_error = match cause.downcast_ref() {
        Some(ureq::Error::Io(error)) => Some(error),
        _ => cause.downcast_ref::<io::Error>(),
    };
    cause.downcast_ref().or_else(|| io_error?.get_ref()?.downcast_ref())
}
