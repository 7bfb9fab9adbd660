//! TLS with a certificate and key from files, which may be replaced while the server runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::socket::Socket;

/// Why a certificate and its key cannot be used. The errors never contain file contents.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    /// The file holds no certificates.
    #[error("{0} must hold certificates in PEM, the server's first")]
    NoCertificate(PathBuf),
    /// The file holds no key.
    #[error("{0} must hold a private key in PEM (PKCS#8, SEC1 or PKCS#1) without a passphrase")]
    NoKey(PathBuf),
    /// The two do not match, or are of an unsupported kind.
    #[error("cannot use the certificate {certificate} with the key {key}")]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
}

/// The TLS configuration of new connections. A clone is a handle: a reload applies to all clones.
#[derive(Clone, Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be read or used together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = read_config(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            config: Arc::new(RwLock::new(config)),
        })
    }

    /// Reads the files again, for new connections.
    ///
    /// # Errors
    /// They cannot be read or used together. The previous certificate stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = read_config(&self.certificate, &self.key)?;
        *self.config.write().expect("nothing panics under this lock") = config;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().expect("nothing panics under this lock");
        TlsAcceptor::from(config.clone())
    }

    /// Performs the TLS handshake, until `deadline`.
    pub(super) async fn accept(
        &self,
        socket: Socket,
        deadline: Instant,
    ) -> io::Result<TlsStream<Socket>> {
        let accepting = self.acceptor().accept(socket).into_fallible();
        match timeout_at(deadline, accepting).await {
            Ok(Ok(stream)) => Ok(stream),
            // A proper shutdown lets the client read the alert with the reason.
            Ok(Err((error, mut socket))) => {
                let _ = socket.shutdown().await;
                Err(error)
            }
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the TLS handshake took too long",
            )),
        }
    }
}

fn read_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_certificates(certificate)?;
    let secret =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| TlsError::NoKey(key.to_owned()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|source| TlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Reads the certificates of a file, the server's own first.
///
/// # Errors
/// The file cannot be read or contains no certificates.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| TlsError::NoCertificate(path.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}
