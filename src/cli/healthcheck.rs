//! `billables healthcheck`: asks the server on this machine whether it is ready.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Collected, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_util::either::Either;

use super::Failure;
use crate::config::{self, ListenArgs};
use crate::server::read_certificates;
use crate::telemetry::chain;

/// The largest body that is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The server to ask, and how long to wait.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The settings of the server to ask.
    #[command(flatten)]
    listen: ListenArgs,
    /// Maximum time to wait for the response.
    #[arg(long, default_value = "5s", value_parser = config::duration)]
    timeout: Duration,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let Args {
        listen,
        timeout: patience,
    } = args;
    let (address, certificate) = match listen.admin_listen() {
        Some(admin) => (admin, None),
        None => (&*listen.listen, listen.tls_cert()),
    };
    let reason = match timeout(patience, ask(address, certificate)).await {
        Ok(Ok((StatusCode::OK, body))) => {
            println!("the server on {address} is ready{}", shortfall(&body));
            return Ok(());
        }
        Ok(Ok((status, body))) => match body["responseStatus"]["message"].as_str() {
            Some(message) => format!("it answers {status}: {message}"),
            None => format!("it answers {status}"),
        },
        Ok(Err(error)) => chain(&*error),
        Err(_) => format!(
            "no response within {}",
            humantime::format_duration(patience)
        ),
    };
    Err(Failure::Failed(format!(
        "the server on {address} is not ready: {reason}"
    )))
}

/// Says how many partitions can be written, if that is not all of them.
fn shortfall(body: &Value) -> String {
    let [writable, partitions] = ["writablePartitions", "partitions"].map(|name| &body[name]);
    if writable == partitions {
        return String::new();
    }
    format!(", but only {writable} of its {partitions} partitions can be written")
}

/// Returns the status of `GET /readyz`, and its body; null if that is not JSON.
async fn ask(
    address: &str,
    certificate: Option<&Path>,
) -> Result<(StatusCode, Value), Box<dyn Error>> {
    let addresses: Vec<_> = lookup_host(address).await?.flat_map(reachable).collect();
    let stream = TcpStream::connect(&*addresses).await?;
    let stream = match certificate {
        None => Either::Left(stream),
        Some(file) => {
            let host = stream.peer_addr()?.ip();
            let connector = TlsConnector::from(Arc::new(trusting(file)?));
            Either::Right(connector.connect(host.into(), stream).await?)
        }
    };
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/readyz")
        .header(HOST, address)
        .body(Empty::<Bytes>::new())?;
    let response = requests.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map_or_else(|_| Bytes::new(), Collected::to_bytes);
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// Returns the addresses at which a server that listens on `address` can be reached from this
/// machine. A server on all IPv6 addresses may accept IPv4 too, and the machine may have IPv4 only.
fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    let ips: &[IpAddr] = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => &[
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        ],
        _ => return vec![address],
    };
    let port = address.port();
    ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}

/// Returns a TLS configuration that trusts only the first certificate of the file.
fn trusting(file: &Path) -> Result<ClientConfig, Box<dyn Error>> {
    let provider = Arc::new(ring::default_provider());
    let certificate = read_certificates(file)?.swap_remove(0);
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Exactly {
            certificate,
            provider,
        }))
        .with_no_client_auth();
    Ok(config)
}

/// Trusts one certificate, whatever its names and its issuer are.
#[derive(Debug)]
struct Exactly {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(
                "its certificate is not the one in the file; send SIGHUP to the server to reload the file"
                    .to_owned(),
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
