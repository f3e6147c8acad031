//! `mqtt pub`: one message, one again and again, or one a line.

use std::time::{Duration, Instant};

use mqtt_wasi::codec::UserProperty;
use mqtt_wasi::transport::Transport as _;
use mqtt_wasi::{Client, Error, Publish, ReasonCode, Reconnect};

use crate::args;
use crate::connection::{self, Target};
use crate::failure::{Failure, code_of};
use crate::input::{Lines, Next};
use crate::notes::Notes;
use crate::properties::{self, MessageProperties, OtherProperties, Scope};

/// How many messages, and about how many bytes of them, are handed to the client at once.
const MOST_MESSAGES: usize = 256;
const MOST_BYTES: usize = 1024 * 1024;

/// How often to look for a connection while there is none.
const WITHOUT_CONNECTION: Duration = Duration::from_millis(100);

const SCOPES: [Scope; 4] = [Scope::Connect, Scope::Publish, Scope::Will, Scope::Disconnect];

pub(crate) fn run(args: &args::Publish, notes: &Notes) -> Result<(), Failure> {
    let given = properties::parse(&args.connection.properties, &SCOPES)?;
    let mut message = MessageProperties::new(&args.properties, &given)?;
    message.response_topic(args.response_topic.as_ref());
    let Target { url, mut options, topic } = connection::target(&args.connection, &given)?;
    let topic = args.topic.clone().or(topic).ok_or_else(|| Failure::Usage("there is no topic: use -t".into()))?;
    // All of it, before a broker waits for it.
    let payload = connection::payload(&args.payload)?;
    if args.stdin_line {
        // Input goes on while the broker is away for a while.
        options = options.reconnect(Reconnect::default());
    }
    let mut client = Client::connect(&url, options)?;
    notes.connected(&url, client.connection_info());
    let user_properties = message.pairs();
    let mut publisher = Publisher {
        client: &mut client,
        template: Publish::new(&topic, "").qos(args.qos).retain(args.retain).properties(message.lend(&user_properties)),
        notes,
        refused: None,
    };
    match &payload {
        Some(payload) => publisher.repeat(payload, args.repeat, args.repeat_delay)?,
        None => publisher.lines(&mut Lines::start()?)?,
    }
    let refused = publisher.refused;
    let goodbye = OtherProperties::new(&given, Scope::Disconnect)?;
    let pairs: Vec<UserProperty<'_>> = goodbye.pairs();
    client.disconnect_with(&goodbye.disconnect(&pairs))?;
    refused.map_or(Ok(()), |code| Err(Failure::Told(code)))
}

struct Publisher<'a> {
    client: &'a mut Client,
    /// The message without its payload.
    template: Publish<'a>,
    notes: &'a Notes,
    /// The exit code for the first message that was refused.
    refused: Option<u8>,
}

impl Publisher<'_> {
    fn repeat(&mut self, payload: &[u8], times: u64, delay: Duration) -> Result<(), Failure> {
        if delay.is_zero() {
            let most = (MOST_BYTES / (payload.len() + 1)).clamp(1, MOST_MESSAGES);
            let mut left = times;
            while left > 0 {
                let count = left.min(most as u64);
                self.publish(&vec![payload; count as usize])?;
                left -= count;
            }
            return Ok(());
        }
        for time in 0..times {
            if time > 0 {
                self.wait(delay)?;
            }
            self.publish(&[payload])?;
        }
        Ok(())
    }

    /// Publishes each line when it comes, and those together that come together.
    fn lines(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        let mut batch: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        loop {
            let wait = if batch.is_empty() { self.patience() } else { Some(Duration::ZERO) };
            let mut next = lines.next(wait).map_err(Failure::here("reading standard input"))?;
            match &mut next {
                Next::Line(line) => {
                    bytes += line.len();
                    batch.push(std::mem::take(line));
                    if batch.len() < MOST_MESSAGES && bytes < MOST_BYTES {
                        continue;
                    }
                }
                Next::Nothing if batch.is_empty() => self.keep_connection()?,
                Next::Nothing | Next::End | Next::Interrupted(_) => {}
            }
            self.publish(&batch)?;
            batch.clear();
            bytes = 0;
            match next {
                Next::End => return Ok(()),
                Next::Interrupted(signal) => {
                    self.client.disconnect()?;
                    return Err(Failure::Interrupted(signal));
                }
                _ => {}
            }
        }
    }

    /// Publishes these, as many at once as the broker takes. A message that is refused is told of, and those behind it
    /// are published all the same.
    fn publish(&mut self, payloads: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        let messages = payloads.iter().map(|payload| Publish { payload: payload.as_ref(), ..self.template });
        for result in self.client.publish_all(messages) {
            match result {
                Ok(ReasonCode::NoMatchingSubscribers) => self.notes.detail("nobody has subscribed to this topic"),
                Ok(_) => {}
                Err(error @ (Error::PublishRefused(_) | Error::Call(_))) if !error.is_fatal() => {
                    self.notes.problem(format_args!("error: {error}"));
                    self.refused.get_or_insert(code_of(&error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.tell_events()
    }

    /// Waits, and keeps the connection meanwhile.
    fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.client.next_event(left)? {
                Some(event) => self.notes.event(&event),
                None if left.is_zero() => return Ok(()),
                None => {}
            }
        }
    }

    fn keep_connection(&mut self) -> Result<(), Failure> {
        self.client.is_ready();
        self.tell_events()
    }

    fn tell_events(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.client.next_event(Duration::ZERO)? {
            self.notes.event(&event);
        }
        Ok(())
    }

    /// How long the client can be left alone; `None`: for ever.
    fn patience(&self) -> Option<Duration> {
        let Some(transport) = self.client.transport().filter(|_| self.client.is_connected()) else {
            return Some(WITHOUT_CONNECTION);
        };
        self.client.deadline().map(|deadline| deadline.saturating_duration_since(transport.now()))
    }
}
