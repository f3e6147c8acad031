use std::sync::Arc;

use mqtt_wasi::{Client, Options, TlsOptions};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

fn tls(ca: &[u8]) -> Result<TlsOptions, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsOptions::new().config(Arc::new(config)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::new().tls(tls(&std::fs::read("ca.pem")?)?);
    let mut client = Client::connect("mqtts://broker.local", options)?;
    client.disconnect()?;
    Ok(())
}
