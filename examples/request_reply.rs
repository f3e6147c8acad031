//! Asks for squares, several at the same time over one connection, and answers with them over another. The same source
//! runs native and as a `wasm32-wasip2` component:
//!
//! ```sh
//! cargo run --example request_reply --features tokio -- mqtt://localhost:1883
//! cargo xtask build && wasmtime run -S inherit-network -S allow-ip-name-lookup \
//!     target/components/examples/request_reply.wasm mqtt://localhost:1883
//! ```
//!
//! With a second argument, `ask` or `answer`, it does only that: run it twice.

use std::process::ExitCode;
use std::time::Duration;

use mqtt_wasi::{AsyncClient, AsyncRequests, Error, Message, Options, Publish, QoS, Subscription};

const TOPIC: &str = "mqtt-wasi/example/square";
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "mqtt://localhost:1883".into());
    match arguments.next().as_deref() {
        Some("ask") => ask(&url).await,
        Some("answer") => answer(listen(&url).await?).await,
        _ => {
            let requests = listen(&url).await?;
            tokio::select! {
                asked = ask(&url) => asked,
                answered = answer(requests) => answered,
            }
        }
    }
}

/// Asks for four squares at the same time; each question gets its own answer.
async fn ask(url: &str) -> Result<(), Error> {
    let client = AsyncClient::connect(url, Options::new()).await?;
    let square = async |number: &str| {
        let request = Publish::new(TOPIC, number).qos(QoS::AtLeastOnce);
        match client.request(&request, PATIENCE).await {
            Ok(reply) => Ok(format!("{number} squared is {}", text(&reply))),
            Err(Error::RequestFailed(failure)) => Ok(format!("{number} squared: {}", failure.text)),
            Err(error) => Err(error),
        }
    };
    let (three, four, five, six) = tokio::join!(square("3"), square("4"), square("five"), square("6"));
    for line in [three, four, five, six] {
        println!("{}", line?);
    }
    client.disconnect().await
}

/// Subscribes to the questions.
async fn listen(url: &str) -> Result<AsyncRequests, Error> {
    let client = AsyncClient::connect(url, Options::new()).await?;
    client.requests(Subscription::new(TOPIC, QoS::AtLeastOnce)).await
}

/// Answers questions for as long as they come.
async fn answer(mut requests: AsyncRequests) -> Result<(), Error> {
    loop {
        let request = requests.receive().await?;
        match text(request.message()).parse::<i64>() {
            Ok(number) => request.reply((number * number).to_string()).await?,
            Err(error) => request.fail(error).await?,
        }
    }
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

/// In place of the C library's, which brings `printf` along. See "Make yours small" in `docs/size.md`.
#[cfg(target_os = "wasi")]
#[unsafe(no_mangle)]
extern "C" fn __assert_fail(_what: usize, _file: usize, _line: u32, _function: usize) -> ! {
    std::process::abort()
}
