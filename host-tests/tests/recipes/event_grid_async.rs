use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mqtt_wasi::{AsyncClient, Authenticator, Options, QoS, Reconnect, Subscription};

/// Sends the token that is in it: with each connection, and each time the client authenticates again.
#[derive(Clone, Default)]
struct OAuth2Jwt(Arc<Mutex<String>>);

impl Authenticator for OAuth2Jwt {
    fn method(&self) -> &str {
        "OAUTH2-JWT"
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.0.lock().unwrap().clone().into_bytes()))
    }

    fn answer(&mut self, _challenge: &[u8]) -> Result<Vec<u8>, String> {
        Err("OAUTH2-JWT has no challenges".into())
    }

    fn finish(&mut self, _data: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Renews the token whenever half of its lifetime is over.
async fn renew<F>(
    client: &AsyncClient,
    jwt: &OAuth2Jwt,
    mut lifetime: Duration,
    mut fetch: F,
) -> Result<(), Box<dyn Error>>
where
    F: AsyncFnMut() -> Result<(String, Duration), Box<dyn Error>>,
{
    loop {
        tokio::time::sleep(lifetime / 2).await;
        let token;
        (token, lifetime) = fetch().await?;
        *jwt.0.lock().unwrap() = token;
        match client.authenticate_again().await {
            // After a timeout, the next connection still begins with the new token.
            Ok(()) | Err(mqtt_wasi::Error::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads a token that another program writes. Put your HTTP client here.
async fn fetch_token() -> Result<(String, Duration), Box<dyn Error>> {
    Ok((std::fs::read_to_string("token.jwt")?, Duration::from_secs(3600)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (token, lifetime) = fetch_token().await?;
    let jwt = OAuth2Jwt(Arc::new(Mutex::new(token)));
    let options = Options::new().client_id("thermometer-7").reconnect(Reconnect::default());
    let url = "mqtts://example.westeurope-1.ts.eventgrid.azure.net";
    let client = AsyncClient::connect(url, options.authenticator(jwt.clone())).await?;
    let mut messages = client.listen(Subscription::new("sensors/+", QoS::AtLeastOnce)).await?;
    let receive = async {
        loop {
            let message = messages.receive().await?;
            println!("{}: {} bytes", message.topic, message.payload.len());
        }
    };
    tokio::select! {
        result = receive => result,
        result = renew(&client, &jwt, lifetime, fetch_token) => result,
    }
}
