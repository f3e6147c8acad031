use mqtt_wasi::{Client, Error, Options, Publish, QoS, TlsOptions};

fn options(user_name: &str, authorizer: &str, password: &str, tls: TlsOptions) -> Options {
    Options::new()
        .client_id("thermometer-7")
        .login(format!("{user_name}?x-amz-customauthorizer-name={authorizer}"), password)
        .filters_per_subscribe(8)
        .tls(tls.alpn(["mqtt"]))
}

fn main() -> Result<(), Error> {
    let url = "mqtts://example-ats.iot.eu-west-1.amazonaws.com:443";
    let options = options("thermometer-7", "my-authorizer", "secret", TlsOptions::new());
    let mut client = Client::connect(url, options)?;
    client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
    client.disconnect()
}
