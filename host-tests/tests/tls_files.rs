//! Certificates and keys as they come from real shops: in every wrapping they are read, and what cannot be used is named
//! when it is given, before a connection is made.

use host_tests::broker::{Mosquitto, TlsListener, tls_url};
use host_tests::certificates::{Authority, Certified, OpenSsl};
use host_tests::each_subject_with_tls;
use host_tests::subject::{Component, ErrorKind, Failure, Settings, Subject, TlsSettings};
use mqtt_wasi::{Publish, QoS, ReasonCode, TlsOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

each_subject_with_tls!(
    pem_is_read_in_every_wrapping,
    every_form_of_key_is_read,
    key_of_another_certificate_is_refused,
    certificate_must_be_the_first_of_its_chain,
    key_of_a_kind_that_cannot_sign_is_named,
    encrypted_key_is_told,
    what_is_no_certificate_or_key_is_named,
    bundle_with_unreadable_certificates_is_used,
);

/// Where nothing listens: what is refused before there is a connection gets no further.
const NOWHERE: &str = "mqtts://127.0.0.1:1";

fn pem_is_read_in_every_wrapping<S: Subject>() {
    let authority = Authority::new();
    let client = authority.client("sensor");
    let Some(mosquitto) = demanding(&authority) else { return };
    let wrap: [fn(&str) -> String; 7] = [
        |pem| pem.replace('\n', "\\n"),
        |pem| pem.replace('\n', "\\r\\n"),
        |pem| pem.replace('\n', "\r\n"),
        |pem| pem.replace('\n', " "),
        |pem| format!("\u{FEFF}{pem}"),
        |pem| format!("\"{}\"", pem.replace('\n', "\\n")),
        |pem| format!("Bag Attributes\n    friendlyName: sensor\n{pem}"),
    ];
    for wrap in wrap {
        let settings = settings(&wrap(authority.pem()), &wrap(&client.certificate_pem), &wrap(&client.key_pem));
        println!("{:?}", &settings.tls.as_ref().unwrap().ca_pem[..40]);
        assert_works(S::connect(&tls_url(mosquitto.address()), &settings).unwrap());
    }
}

fn every_form_of_key_is_read<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    let authority = Authority::new();
    for (key, forms) in [
        ("ec -pkeyopt ec_paramgen_curve:P-256", &["ec -in own.key", "pkey -in own.key"][..]),
        ("ec -pkeyopt ec_paramgen_curve:P-384", &["ec -in own.key", "pkey -in own.key"]),
        ("ed25519", &["pkey -in own.key"]),
        ("rsa:2048", &["rsa -traditional -in own.key", "pkey -in own.key"]),
    ] {
        let certified = openssl.self_signed(key);
        // A broker that trusts exactly this client.
        let listener = TlsListener { client_ca_pem: Some(certified.certificate_pem.clone()), ..server(&authority) };
        let Some(mosquitto) = Mosquitto::start_tls(&listener) else { return };
        for form in forms {
            println!("{key}: {form}");
            openssl.run(&format!("{form} -out form.key"));
            let settings = settings(authority.pem(), &certified.certificate_pem, &openssl.text("form.key"));
            assert_works(S::connect(&tls_url(mosquitto.address()), &settings).unwrap());
        }
    }
}

fn key_of_another_certificate_is_refused<S: Subject>() {
    let authority = Authority::new();
    let (one, other) = (authority.client("one"), authority.client("other"));
    let failure = refused::<S>(&settings(authority.pem(), &one.certificate_pem, &other.key_pem));
    assert!(failure.message.contains("does not belong"), "{failure:?}");
    let Some(openssl) = OpenSsl::start() else { return };
    for key in ["rsa:2048", "ed25519", "ec -pkeyopt ec_paramgen_curve:P-384"] {
        let (one, other) = (openssl.self_signed(key), openssl.self_signed(key));
        for (certificate, key) in [(&one, &other), (&other, &one)] {
            let failure = refused::<S>(&settings(authority.pem(), &certificate.certificate_pem, &key.key_pem));
            assert!(failure.message.contains("does not belong"), "{failure:?}");
        }
    }
}

fn certificate_must_be_the_first_of_its_chain<S: Subject>() {
    let authority = Authority::new();
    let client = authority.client("sensor");
    let chain = format!("{}{}", authority.pem(), client.certificate_pem);
    let failure = refused::<S>(&settings(authority.pem(), &chain, &client.key_pem));
    assert!(failure.message.contains("certificate 2, which must be the first"), "{failure:?}");
}

fn key_of_a_kind_that_cannot_sign_is_named<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    let authority = Authority::new();
    for (key, words) in [
        ("ec -pkeyopt ec_paramgen_curve:P-521", "ECDSA with P-521"),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", "ECDSA with secp256k1"),
        ("ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", "explicit curve parameters"),
        ("ed448", "Ed448"),
        ("rsa-pss -pkeyopt rsa_keygen_bits:2048", "RSA-PSS"),
        ("rsa:1024", "RSA with 1024 bits"),
        ("rsa:4104", "RSA with 4104 bits"),
    ] {
        let certified = openssl.self_signed(key);
        let failure = refused::<S>(&settings(authority.pem(), &certified.certificate_pem, &certified.key_pem));
        assert!(failure.message.contains(words), "{key}: {failure:?}");
        if key.starts_with("ec") {
            openssl.run("ec -in own.key -out form.key");
            let form = openssl.text("form.key");
            let failure = refused::<S>(&settings(authority.pem(), &certified.certificate_pem, &form));
            assert!(failure.message.contains(words), "{key} in the form of SEC 1: {failure:?}");
        }
    }
}

fn encrypted_key_is_told<S: Subject>() {
    let Some(openssl) = OpenSsl::start() else { return };
    let authority = Authority::new();
    let certified = openssl.self_signed("rsa:2048");
    for form in ["pkey -in own.key -aes256", "rsa -traditional -in own.key -aes256"] {
        openssl.run(&format!("{form} -passout pass:hunter2 -out encrypted.key"));
        let encrypted = openssl.text("encrypted.key");
        let failure = refused::<S>(&settings(authority.pem(), &certified.certificate_pem, &encrypted));
        assert!(failure.message.contains("is encrypted") && failure.message.contains("openssl pkey"), "{failure:?}");
    }
}

fn what_is_no_certificate_or_key_is_named<S: Subject>() {
    let authority = Authority::new();
    let client = authority.client("sensor");
    let swapped = refused::<S>(&settings(authority.pem(), &client.key_pem, &client.certificate_pem));
    assert!(swapped.message.contains("a private key"), "{swapped:?}");
    let twice = refused::<S>(&settings(authority.pem(), &client.certificate_pem, &client.certificate_pem));
    assert!(twice.message.contains("a certificate"), "{twice:?}");
    let name = refused::<S>(&settings("/etc/ssl/certs/ca.pem", &client.certificate_pem, &client.key_pem));
    assert!(name.message.contains("not its name"), "{name:?}");
    for fingerprint in ["", "4B:22", "not a fingerprint"] {
        let tls = TlsSettings { fingerprint: Some(fingerprint.into()), ..TlsSettings::default() };
        let failure = refused::<S>(&Settings { tls: Some(tls), ..Settings::default() });
        assert!(failure.message.contains("64 hexadecimal digits"), "{failure:?}");
    }
}

fn bundle_with_unreadable_certificates_is_used<S: Subject>() {
    let authority = Authority::new();
    let Some(mosquitto) = Mosquitto::start_tls(&server(&authority)) else { return };
    let url = tls_url(mosquitto.address());
    let bundle = bundle(&authority);
    assert_works(S::connect(&url, &trusting(&bundle)).unwrap());
    // Who needs one that cannot be used is told so.
    let Err(failure) = S::connect(&url, &trusting(&self::bundle(&Authority::new()))) else { panic!("it is trusted") };
    assert_eq!(failure.kind, ErrorKind::TlsUnknownIssuer, "{failure:?}");
    assert!(failure.message.contains("number 2, 4 cannot be used"), "{failure:?}");
    let all_bad = bundle.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap();
    let failure = refused::<S>(&trusting(all_bad));
    assert!(failure.message.contains("certificate 1: it is not base64"), "{failure:?}");
}

#[test]
fn unusable_certificates_of_a_bundle_are_listed_by_number() {
    let bundle = bundle(&Authority::new());
    let options = TlsOptions::new().ca(&bundle).unwrap();
    let listed: Vec<_> = options.skipped_certificates().iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["certificate 2: it is not base64", "certificate 4: it is not an X.509 certificate"]);
    // Those of another bundle are counted on.
    let options = options.ca(&bundle).unwrap();
    let numbers: Vec<_> = options.skipped_certificates().iter().map(|skipped| skipped.position).collect();
    assert_eq!(numbers, [2, 4, 7, 9]);
}

#[test]
fn component_lists_them_too() {
    let authority = Authority::new();
    let Some(mosquitto) = Mosquitto::start_tls(&server(&authority)) else { return };
    let mut client = Component::connect(&tls_url(mosquitto.address()), &trusting(authority.pem())).unwrap();
    client
        .update(|store, guest, options| {
            guest.call_add_ca(&mut *store, options, bundle(&authority).as_bytes()).unwrap();
            let skipped = guest.call_skipped_certificates(&mut *store, options).unwrap();
            let listed: Vec<_> = skipped.into_iter().map(|skipped| (skipped.position, skipped.reason)).collect();
            let not_read = "it is not an X.509 certificate".to_owned();
            assert_eq!(listed, [(2, "it is not base64".to_owned()), (4, not_read)]);
        })
        .unwrap();
}

#[test]
fn changed_bytes_never_panic() {
    let authority = Authority::new();
    let client = authority.client("sensor");
    let read = |text: &str| match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(key) => key.secret_der().to_vec(),
        Err(_) => CertificateDer::from_pem_slice(text.as_bytes()).unwrap().to_vec(),
    };
    let (certificate, key) = (read(&client.certificate_pem), read(&client.key_pem));
    assert!(TlsOptions::new().client_certificate(&certificate, &key).is_ok());
    for index in 0..certificate.len() {
        for byte in [0, 1, 0x30, 0x7F, 0x80, 0x84, 0xFF] {
            let mut changed = certificate.clone();
            changed[index] = byte;
            // Whether it can be used is not the question.
            let _ = TlsOptions::new().ca(&changed);
            let _ = TlsOptions::new().ca(&changed[..index]);
            let _ = TlsOptions::new().client_certificate(&changed[..index], &key);
            if index < key.len() {
                let mut changed = key.clone();
                changed[index] = byte;
                let _ = TlsOptions::new().client_certificate(&certificate, &changed);
                let _ = TlsOptions::new().client_certificate(&certificate, &changed[..index]);
            }
        }
    }
}

/// Five certificates, of which the second and the fourth are damaged, and the last is the authority's.
fn bundle(authority: &Authority) -> String {
    let good = Authority::new();
    let damaged = Authority::new().pem().replace("\nM", "\n?M");
    let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    format!("{}{damaged}{}{empty}{}", good.pem(), Authority::new().pem(), authority.pem())
}

fn settings(ca_pem: &str, chain: &str, key: &str) -> Settings {
    let tls = TlsSettings { client: Some((chain.into(), key.into())), ca_pem: ca_pem.into(), ..TlsSettings::default() };
    Settings { tls: Some(tls), ..Settings::default() }
}

fn trusting(ca_pem: &str) -> Settings {
    let tls = TlsSettings { ca_pem: ca_pem.into(), ..TlsSettings::default() };
    Settings { tls: Some(tls), ..Settings::default() }
}

fn server(authority: &Authority) -> TlsListener {
    let Certified { certificate_pem, key_pem } = authority.server();
    TlsListener { certificate_pem, key_pem, ..TlsListener::default() }
}

/// A mosquitto that demands certificates of this authority.
fn demanding(authority: &Authority) -> Option<Mosquitto> {
    Mosquitto::start_tls(&TlsListener { client_ca_pem: Some(authority.pem().into()), ..server(authority) })
}

/// What is said of options that cannot be used.
fn refused<S: Subject>(settings: &Settings) -> Failure {
    let Err(failure) = S::connect(NOWHERE, settings) else { panic!("there is a connection") };
    assert_eq!(failure.kind, ErrorKind::TlsConfiguration, "{failure:?}");
    failure
}

fn assert_works<S: Subject>(mut client: S) {
    let published = client.publish(&Publish::new("here", "hello").qos(QoS::AtLeastOnce));
    assert!(matches!(published, Ok(ReasonCode::Success | ReasonCode::NoMatchingSubscribers)), "{published:?}");
    client.disconnect().unwrap();
}
