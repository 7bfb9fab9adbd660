//! Certificates for localhost and 127.0.0.1. They have an intermediate issuer, as purchased
//! certificates do. The `openssl` program makes them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

const CONFIG: &str = "
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
[leaf]
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// Runs `openssl` with the space-separated arguments in `line`.
pub(crate) fn openssl(directory: &Path, line: &str) {
    let mut command = Command::new("openssl");
    let output = command
        .args(line.split(' '))
        .current_dir(directory)
        .output();
    let output = output.expect("openssl is installed");
    assert!(output.status.success(), "openssl {line}: {output:?}");
}

/// A temporary directory. Tests use three of its files: `cert.pem` (the server's certificate and
/// its issuer's), `key.pem`, and `root.pem` (which clients trust).
#[derive(Debug)]
pub(crate) struct Certificate(TempDir);

impl Certificate {
    pub(crate) fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        std::fs::write(files.path("openssl.cnf"), CONFIG).unwrap();
        files.make("root", "ca", "");
        files.make("between", "ca", " -CA root.pem -CAkey root.key");
        files.make("cert", "leaf", " -CA between.pem -CAkey between.key");
        std::fs::rename(files.path("cert.key"), files.path("key.pem")).unwrap();
        let read = |name: &str| std::fs::read_to_string(files.path(name)).unwrap();
        let chain = read("cert.pem") + &read("between.pem");
        std::fs::write(files.path("cert.pem"), chain).unwrap();
        files
    }

    /// Makes a certificate and its key, self-signed unless `more` names a CA.
    fn make(&self, name: &str, extensions: &str, more: &str) {
        let line = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -config openssl.cnf \
             -subj /CN={name} -extensions {extensions} -keyout {name}.key -out {name}.pem{more}"
        );
        openssl(self.0.path(), &line);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file's path, as a command-line argument.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The arguments of a server that uses the certificate.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let (certificate, key) = (self.file("cert.pem"), self.file("key.pem"));
        [
            "--tls-cert".to_owned(),
            certificate,
            "--tls-key".to_owned(),
            key,
        ]
    }

    /// Replaces the files with those of another certificate.
    pub(crate) fn become_like(&self, other: &Self) {
        for name in ["cert.pem", "key.pem", "root.pem"] {
            std::fs::copy(other.path(name), self.path(name)).unwrap();
        }
    }

    /// The server's own certificate.
    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("cert.pem")).unwrap()
    }

    /// A TLS client that trusts the root and speaks these versions.
    pub(crate) fn connector(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(self.path("root.pem")).unwrap();
        roots.add(root).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}
