//! How a component gives a client certificate, and tokens: what `docs/tls.md` and `docs/authentication.md` show of it.
#![allow(missing_docs, reason = "generated")]

wit_bindgen::generate!({ path: "mqtt.wit", world: "imports" });

use mqtt_wasi::client::mqtt::{Client, ConnectOptions, Failure, connect, start};

fn main() -> Result<(), String> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "mqtt://localhost".into());
    let mut tokens = std::env::args().skip(2);
    if let (Some(token), Some(new_token)) = (tokens.next(), tokens.next()) {
        let client = with_tokens(&url, &token, &new_token).map_err(|failure| failure.message)?;
        return client.disconnect(None).map_err(|failure| failure.message);
    }
    let client = with_certificate().map_err(|error| error.to_string())?;
    client.disconnect(None).map_err(|failure| failure.message)
}

fn with_tokens(url: &str, token: &str, new_token: &str) -> Result<Client, Failure> {
    let options = ConnectOptions::new();
    options.set_client_id("thermometer-7");
    options.set_authentication_method("OAUTH2-JWT");
    options.set_authentication_data(token.as_bytes());
    let client = start(url, &options)?;
    assert!(client.next_step()?.is_authenticated);
    // Before the token expires:
    client.authenticate_again(new_token.as_bytes())?;
    assert!(client.next_step()?.is_authenticated);
    Ok(client)
}

fn with_certificate() -> Result<Client, Box<dyn std::error::Error>> {
    let options = ConnectOptions::new();
    options.add_ca(&std::fs::read("ca.pem")?);
    options.set_only_own_ca(true);
    options.set_client_certificate(&std::fs::read("client.pem")?, &std::fs::read("client.key")?);
    let client = connect("mqtts://broker.local", Some(&options))?;
    Ok(client)
}
