//! `mqtt rr`: asks and prints the reply, or answers the requests of others.

use std::io::{self, Write as _};
use std::time::Duration;

use mqtt_wasi::{AsyncClient, IncomingRequest, Publish, QoS, Reconnect, Reply, Subscription};
use tokio::time::timeout;

use crate::args;
use crate::connection::{self, Target};
use crate::failure::Failure;
use crate::format::Printer;
use crate::interrupt::Interrupts;
use crate::notes::Notes;
use crate::program;
use crate::properties::{self, MessageProperties, Scope};
use crate::subscribe::{GOODBYE, after};

const SCOPES: [Scope; 3] = [Scope::Connect, Scope::Publish, Scope::Will];

/// How long a reply may take, unless `-W` says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(args: &args::Request, notes: &Notes) -> Result<(), Failure> {
    let given = properties::parse(&args.connection.properties, &SCOPES)?;
    let properties = MessageProperties::new(&args.properties, &given)?;
    let Target { url, mut options, topic } = connection::target(&args.connection, &given)?;
    let topic = args.topic.clone().or(topic).ok_or_else(|| Failure::Usage("there is no topic: use -t".into()))?;
    let payload = connection::payload(&args.payload)?;
    if let Some(response_topic) = &args.response_topic {
        options = options.response_topic(response_topic);
    }
    if args.answer {
        let answer = Answer::new(args, payload)?;
        options = options.reconnect(Reconnect::default());
        return crate::block_on(async {
            let mut interrupts = Interrupts::new()?;
            let client = tokio::select! {
                client = AsyncClient::connect(&url, options) => client?,
                signal = interrupts.next() => return Err(Failure::Interrupted(signal)),
            };
            notes.connected(&url, client.connection_info());
            let ended = tokio::select! {
                ended = answer_all(&client, &topic, args, &answer, notes) => ended,
                () = tell_events(&client, notes) => Ok(()),
                () = after(args.timeout) => Err(Failure::TimedOut),
                signal = interrupts.next() => match args.count {
                    None => Ok(()),
                    Some(_) => Err(Failure::Interrupted(signal)),
                },
            };
            // What is lost by now is lost.
            let _ = timeout(GOODBYE, client.disconnect()).await;
            ended
        });
    }
    let payload = payload.ok_or_else(|| Failure::Usage("there is nothing to ask: use -m, -f, -n or -s".into()))?;
    let printer = Printer::new(&args.output)?;
    crate::block_on(async {
        let client = AsyncClient::connect(&url, options).await?;
        notes.connected(&url, client.connection_info());
        let pairs = properties.pairs();
        let request = Publish::new(&topic, &payload).qos(args.qos).properties(properties.lend(&pairs));
        let reply = client.request(&request, args.timeout.unwrap_or(PATIENCE)).await;
        // What is lost by now is lost.
        let _ = timeout(GOODBYE, client.disconnect()).await;
        let mut out = io::stdout().lock();
        printer.print(&reply?, &mut out)?;
        Ok(out.flush()?)
    })
}

/// What requests are answered with.
enum Answer<'a> {
    Payload(Vec<u8>),
    Echo,
    Program(&'a args::Request),
}

impl<'a> Answer<'a> {
    fn new(args: &'a args::Request, payload: Option<Vec<u8>>) -> Result<Self, Failure> {
        if !args.program.is_empty() {
            if cfg!(target_family = "wasm") {
                return Err(Failure::Usage("a component cannot run programs: use the native client".into()));
            }
            return Ok(Self::Program(args));
        }
        match payload {
            Some(payload) => Ok(Self::Payload(payload)),
            None if args.echo => Ok(Self::Echo),
            None => Err(Failure::Usage("--answer needs an answer: -m, -f, -n, -s, --echo, or -- PROGRAM".into())),
        }
    }

    async fn to(&self, request: &IncomingRequest) -> Reply {
        let message = request.message();
        match self {
            Self::Payload(payload) => Reply::new(payload.clone()),
            Self::Program(args) => program::answer(&args.program, message).await,
            Self::Echo => match &message.content_type {
                Some(content_type) => Reply::new(message.payload.clone()).content_type(content_type),
                None => Reply::new(message.payload.clone()),
            },
        }
    }
}

/// Answers requests one by one, in their order.
async fn answer_all(
    client: &AsyncClient,
    topic: &str,
    args: &args::Request,
    answer: &Answer<'_>,
    notes: &Notes,
) -> Result<(), Failure> {
    let qos = if args.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let mut requests = client.requests(Subscription::new(topic, qos)).await?;
    notes.detail(format_args!("answering requests to {topic}"));
    let mut answered = 0;
    while args.count != Some(answered) {
        let request = requests.receive().await?;
        answered += 1;
        notes.detail(format_args!("a request to {}", request.message().topic));
        let reply = answer.to(&request).await;
        if let Err(error) = request.reply(reply).await {
            notes.problem(format_args!("error: a reply was not sent: {error}"));
        }
    }
    Ok(())
}

/// Tells what happens to the connection until it is over for good.
async fn tell_events(client: &AsyncClient, notes: &Notes) {
    while let Ok(event) = client.next_event().await {
        notes.event(&event);
    }
    // How it ended is told by what waits for requests.
    std::future::pending().await
}
