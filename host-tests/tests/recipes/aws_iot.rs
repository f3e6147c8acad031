use std::error::Error;

use mqtt_wasi::{Client, Options, Publish, QoS, TlsOptions};

fn device(certificate: &[u8], key: &[u8]) -> Result<TlsOptions, mqtt_wasi::Error> {
    Ok(TlsOptions::new().client_certificate(certificate, key)?.alpn(["x-amzn-mqtt-ca"]))
}

fn options(tls: TlsOptions) -> Options {
    Options::new().client_id("thermometer-7").filters_per_subscribe(8).tls(tls)
}

fn main() -> Result<(), Box<dyn Error>> {
    let tls = device(&std::fs::read("certificate.pem.crt")?, &std::fs::read("private.pem.key")?)?;
    let url = "mqtts://example-ats.iot.eu-west-1.amazonaws.com:443";
    let mut client = Client::connect(url, options(tls))?;
    client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    client.disconnect()?;
    Ok(())
}
