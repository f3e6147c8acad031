use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mqtt_wasi::{Authenticator, Client, Error, Message, Options, QoS, ReasonCode, Reconnect, Subscription};

/// Sends a token: with each connection, and each time the client authenticates again.
#[derive(Clone)]
struct OAuth2Jwt<F> {
    /// Returns a token, and how long it is valid.
    fetch: F,
    /// When to renew the last token, and when it expires.
    times: Arc<Mutex<[SystemTime; 2]>>,
}

impl<F: FnMut() -> Result<(String, Duration), String>> OAuth2Jwt<F> {
    fn new(fetch: F) -> Self {
        Self { fetch, times: Arc::new(Mutex::new([SystemTime::UNIX_EPOCH; 2])) }
    }

    fn renew_in(&self) -> Duration {
        let [renewal, _] = *self.times.lock().unwrap();
        renewal.duration_since(SystemTime::now()).unwrap_or_default()
    }

    fn is_expired(&self) -> bool {
        let [_, expiry] = *self.times.lock().unwrap();
        expiry <= SystemTime::now()
    }
}

impl<F: FnMut() -> Result<(String, Duration), String>> Authenticator for OAuth2Jwt<F> {
    fn method(&self) -> &str {
        "OAUTH2-JWT"
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        let (token, lifetime) = (self.fetch)()?;
        let now = SystemTime::now();
        *self.times.lock().unwrap() = [now + lifetime / 2, now + lifetime];
        Ok(Some(token.into_bytes()))
    }

    fn answer(&mut self, _challenge: &[u8]) -> Result<Vec<u8>, String> {
        Err("OAUTH2-JWT has no challenges".into())
    }

    fn finish(&mut self, _data: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Returns the next message. Renews the token while it waits.
fn receive<F>(client: &mut Client, jwt: &OAuth2Jwt<F>) -> Result<Message, Error>
where
    F: FnMut() -> Result<(String, Duration), String>,
{
    loop {
        match client.receive_timeout(jwt.renew_in()) {
            Ok(Some(message)) => return Ok(message),
            Ok(None) => match client.authenticate_again() {
                // After a timeout it tries again.
                Ok(()) | Err(Error::Timeout) => {}
                Err(error) => return Err(error),
            },
            // The token expired before it was renewed: connect with a new one.
            Err(Error::Disconnected(reason)) if reason.reason_code == ReasonCode::NotAuthorized && jwt.is_expired() => {
                client.reconnect()?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads a token that another program writes. Put your HTTP client here.
fn fetch_token() -> Result<(String, Duration), String> {
    let token = std::fs::read_to_string("token.jwt").map_err(|error| error.to_string())?;
    Ok((token, Duration::from_secs(3600)))
}

fn main() -> Result<(), Error> {
    let jwt = OAuth2Jwt::new(fetch_token);
    let options = Options::new().client_id("thermometer-7").reconnect(Reconnect::default());
    let url = "mqtts://example.westeurope-1.ts.eventgrid.azure.net";
    let mut client = Client::connect(url, options.authenticator(jwt.clone()))?;
    client.subscribe(&[Subscription::new("sensors/+", QoS::AtLeastOnce)])?;
    loop {
        let message = receive(&mut client, &jwt)?;
        println!("{}: {} bytes", message.topic, message.payload.len());
    }
}
