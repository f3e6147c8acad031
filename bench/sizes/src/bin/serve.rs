//! Answers requests.

use mqtt_wasi::{Client, Error, Options, QoS, Reply, Subscription};

fn main() -> Result<std::convert::Infallible, Error> {
    let url = std::env::args().nth(1).unwrap_or_default();
    let mut client = Client::connect(&url, Options::new())?;
    client.serve(Subscription::new("sizes", QoS::AtLeastOnce), |request| {
        Ok::<_, Error>(Reply::new(request.payload.to_vec()))
    })
}
