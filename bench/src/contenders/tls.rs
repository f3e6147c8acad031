//! This client by TLS. Its own provider is in pure Rust, natively as in WebAssembly; natively a configuration of rustls
//! can bring another one, which here is ring.

use std::sync::Arc;

use mqtt_wasi::{Error, Options, TlsOptions};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::{Unable, blocking};
use crate::stage::Stage;

/// The blocking client as it is.
pub(crate) fn run(stage: &Stage) -> Result<(), Unable> {
    let options = options(stage)?;
    blocking::run_with(stage, &|| options.clone())
}

/// The blocking client with ring.
pub(crate) fn run_with_ring(stage: &Stage) -> Result<(), Unable> {
    let ca = stage.ca().expect("it is asked for jobs by TLS alone");
    let shared = configuration(ca, ring::default_provider());
    blocking::run_with(stage, &|| {
        let mut configuration = shared.clone();
        // A new client has no TLS session of another one.
        configuration.resumption = Resumption::default();
        Options::new().tls(TlsOptions::new().config(Arc::new(configuration)))
    })
}

/// What trusts the authority of the stage, if that has one.
pub(crate) fn options(stage: &Stage) -> Result<Options, Error> {
    Ok(match stage.ca() {
        Some(ca) => Options::new().tls(TlsOptions::new().ca(ca)?.only_own_ca()),
        None => Options::new(),
    })
}

/// A configuration of rustls that trusts this authority, and has its other settings as they are.
pub(crate) fn configuration(ca: &str, provider: CryptoProvider) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(ca.as_bytes()).expect("the sink made a certificate");
    roots.add(authority).expect("the sink made an authority's certificate");
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites of both versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
