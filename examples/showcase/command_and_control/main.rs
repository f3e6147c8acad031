//! Lamps that obey, and the one who commands them: by requests, so that each command has an answer, or a reason why
//! there is none. Without a role, all of them are in this process.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use mqtt_wasi::{
    AsyncClient, AsyncRequests, Error as MqttError, Event, Message, Options, Publish, QoS, Reconnect, Reply,
    Subscription, WillMessage,
};
use serde::{Deserialize, Serialize};

/// How long a lamp may take.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize, Deserialize)]
struct Command {
    brightness: u32,
}

/// What a lamp answers.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    brightness: u32,
}

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
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => all("mqtt://localhost").await,
        [url] => all(url).await,
        [url, "lamp", name] => {
            let lamp = Lamp::switch_on(url, name).await?;
            println!("{name} is ready");
            Ok(lamp.obey().await?)
        }
        [url, "set", brightness, ref names @ ..] => set(url, brightness.parse()?, names).await,
        _ => Err("use: command_and_control [URL [lamp NAME | set BRIGHTNESS NAME..]]".into()),
    }
}

async fn all(url: &str) -> Result<(), Box<dyn Error>> {
    for name in ["kitchen", "hall"] {
        // It answers from here on, whenever this process waits for something else.
        tokio::spawn(Lamp::switch_on(url, name).await?.obey());
    }
    set(url, 80, &["kitchen", "hall"]).await?;
    if let Err(error) = set(url, 120, &["hall", "attic"]).await {
        println!("as expected: {error}");
    }
    Ok(())
}

/// Commands all these lamps at the same time.
async fn set(url: &str, brightness: u32, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let client = AsyncClient::connect(url, Options::new()).await?;
    let commands: Vec<_> = names
        .iter()
        .map(|name| {
            let (client, topic) = (client.clone(), format!("lamps/{name}/set"));
            tokio::spawn(async move { client.request_json::<State>(&topic, &Command { brightness }, PATIENCE).await })
        })
        .collect();
    let mut failed = 0;
    for (name, command) in names.iter().zip(commands) {
        let line = match command.await? {
            Ok(state) => format!("brightness {}", state.brightness),
            Err(error) => {
                failed += 1;
                explain(&error)
            }
        };
        println!("{name}: {line}");
    }
    client.disconnect().await?;
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} lamps did not obey", names.len()).into()) }
}

/// What a failure means for the one who commands.
fn explain(error: &MqttError) -> String {
    match error {
        MqttError::NoResponder => "there is no such lamp, or it is offline".into(),
        MqttError::Timeout => "no answer in time: it may still obey".into(),
        MqttError::RequestFailed(failure) => format!("refused: {}", failure.text),
        error => error.to_string(),
    }
}

struct Lamp {
    client: AsyncClient,
    commands: AsyncRequests,
    status: String,
}

impl Lamp {
    async fn switch_on(url: &str, name: &str) -> Result<Self, MqttError> {
        let (status, topic) = (format!("lamps/{name}/status"), format!("lamps/{name}/set"));
        let mut will = WillMessage::new(&status, "offline");
        will.retain = true;
        let options = Options::new().client_id(format!("lamp-{name}")).will(will).reconnect(Reconnect::default());
        let client = AsyncClient::connect(url, options).await?;
        let commands = client.requests(Subscription::new(&topic, QoS::AtLeastOnce)).await?;
        let lamp = Self { client, commands, status };
        lamp.announce().await?;
        Ok(lamp)
    }

    async fn announce(&self) -> Result<(), MqttError> {
        let online = Publish::new(&self.status, "online").qos(QoS::AtLeastOnce).retain(true);
        self.client.enqueue(&online).await
    }

    /// Answers commands, until the connection is over for good.
    async fn obey(mut self) -> Result<(), MqttError> {
        loop {
            tokio::select! {
                request = self.commands.receive() => {
                    let request = request?;
                    match dim(request.message()) {
                        Ok(reply) => request.reply(reply).await?,
                        Err(why) => request.fail(why).await?,
                    }
                }
                event = self.client.next_event() => {
                    let event = event?;
                    eprintln!("{event}");
                    if let Event::Connected { .. } = event {
                        // The broker has published the will.
                        self.announce().await?;
                    }
                }
            }
        }
    }
}

/// The work itself. Its error goes to the one who commands.
fn dim(request: &Message) -> Result<Reply, String> {
    let Command { brightness } = request.json().map_err(|error| error.to_string())?;
    match brightness {
        0..=100 => Reply::json(&State { brightness }).map_err(|error| error.to_string()),
        _ => Err(format!("brightness {brightness} is not 0 to 100")),
    }
}
