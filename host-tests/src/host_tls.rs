//! TLS that the host does for a component, through `wasi:tls`: with the authorities that it trusts itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsConnector, client};
use wasmtime_wasi_tls::{Error, TlsProvider, TlsStream, TlsTransport, WasiTlsCtx, WasiTlsCtxBuilder};

/// The host's side of it, which trusts these authorities, in PEM, and nobody else. It resumes TLS sessions if it is to.
///
/// # Panics
/// When they cannot be read.
#[must_use]
pub fn trusting(ca_pem: &str, resumes: bool) -> WasiTlsCtx {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a certificate of an authority");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    WasiTlsCtxBuilder::new().provider(Box::new(Rustls(Arc::new(config)))).build()
}

/// rustls, as wasmtime's own provider has it, with other roots.
struct Rustls(Arc<ClientConfig>);

/// A connection, in a type of its own: wasmtime knows that of rustls only with rustls's features as it wants them.
struct Stream(client::TlsStream<Box<dyn TlsTransport>>);

/// What comes of connecting.
type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn TlsStream>, Error>> + Send>>;

impl TlsProvider for Rustls {
    fn connect(&self, server_name: String, transport: Box<dyn TlsTransport>) -> Connecting {
        let connector = TlsConnector::from(Arc::clone(&self.0));
        Box::pin(async move {
            let name = ServerName::try_from(server_name).map_err(|error| Error::msg(error.to_string()))?;
            let stream = connector.connect(name, transport).await.map_err(failure)?;
            Ok(Box::new(Stream(stream)) as Box<dyn TlsStream>)
        })
    }
}

fn failure(error: io::Error) -> Error {
    Error::msg(error.to_string())
}

impl TlsStream for Stream {}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, bytes)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
