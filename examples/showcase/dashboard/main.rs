//! What goes through a broker, in the terminal.

mod board;
#[cfg_attr(target_family = "wasm", path = "ansi.rs")]
mod screen;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use mqtt_wasi::{AsyncClient, BrokerUrl, Options, Overflow, QoS, Reconnect, Subscription};
use tokio::time::{interval, sleep};

use crate::board::Board;
use crate::screen::Screen;

/// How often the screen is drawn: eyes do not need it for each message.
const FRAME: Duration = Duration::from_millis(250);

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

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "mqtt://localhost".into());
    let filter = args.next().unwrap_or_else(|| "#".into());
    let seconds = args.next().map_or(Ok(u64::MAX), |seconds| seconds.parse())?;

    let client = AsyncClient::connect(&url, Options::new().reconnect(Reconnect::default())).await?;
    let subscription = Subscription::new(&filter, QoS::AtMostOnce);
    // A terminal that is too slow gets less, and holds up nobody.
    let mut messages = client.listen_with(subscription, Overflow::DropOldest(1024)).await?;
    let end = sleep(Duration::from_secs(seconds));
    tokio::pin!(end);

    // Without the password that the URL may have.
    let BrokerUrl { host, port, .. } = url.parse()?;
    let mut board = Board::new(format!("{filter} at {host}:{port}"));
    let mut frames = interval(FRAME);
    // From here on the terminal is ours, until this is dropped.
    let mut screen = Screen::open()?;
    loop {
        tokio::select! {
            message = messages.receive() => board.take(&message?),
            event = client.next_event() => board.note(&event?),
            _ = frames.tick() => screen.draw(|frame| board.draw(frame))?,
            () = screen.quit() => break,
            () = &mut end => break,
        }
    }
    drop(screen);
    Ok(client.disconnect().await?)
}
