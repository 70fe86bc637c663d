//! One certificate for all doors, from two settings.

use anyhow::{Context as _, Result};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{path::Path, sync::Arc};

/// The server side of TLS 1.2 and 1.3, from PEM files.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.certificate: {} is not a PEM certificate chain", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("tls.key: {} is not a PEM private key", key.display()))?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("tls.certificate and tls.key do not fit each other")?;
    Ok(Arc::new(config))
}

/// Chooses the one cryptographic provider of the process; two libraries bring one each.
pub fn install_provider() {
    // An error means that one is installed already, which is what is wanted.
    rustls::crypto::ring::default_provider().install_default().ok();
}

/// The client side, for brokers that Portico follows: the certificates that this machine trusts.
pub fn client_config() -> Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    anyhow::ensure!(!roots.is_empty(), "this machine trusts no certificate authority; install ca-certificates");
    Ok(Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
