//! `mqtt sub`: subscribes, and prints what comes until the work is done.

use std::future::{pending, ready};
use std::io::{self, BufWriter, Write as _};
use std::pin::pin;
use std::time::Duration;

use mqtt_wasi::codec::topic_matches;
use mqtt_wasi::{
    AsyncClient, AsyncMessages, Delivery, Error, Message, Publish, QoS, Reconnect, RetainHandling, SubscribeProperties,
    Subscription, UnsubscribeProperties,
};
use tokio::time::{sleep, timeout};

use crate::args;
use crate::connection::{self, Target};
use crate::failure::Failure;
use crate::format::Printer;
use crate::interrupt::Interrupts;
use crate::notes::Notes;
use crate::properties::{self, OtherProperties, Property, Scope};

const SCOPES: [Scope; 5] = [Scope::Connect, Scope::Subscribe, Scope::Unsubscribe, Scope::Will, Scope::Disconnect];

/// How long DISCONNECT may take, once the work is done.
pub(crate) const GOODBYE: Duration = Duration::from_secs(5);

/// How many printed messages wait to be acknowledged together, at most.
const MOST_UNACKNOWLEDGED: usize = 256;

const OUTPUT_BUFFER: usize = 64 * 1024;

pub(crate) fn run(args: &args::Subscribe, notes: &Notes) -> Result<(), Failure> {
    let given = properties::parse(&args.connection.properties, &SCOPES)?;
    let printer = Printer::new(&args.output)?;
    let Target { url, options, topic } = connection::target(&args.connection, &given)?;
    let filters: Vec<&str> = args.filters.iter().chain(&topic).map(String::as_str).collect();
    if filters.is_empty() {
        return Err(Failure::Usage("there is no topic: use -t".into()));
    }
    crate::block_on(async {
        let mut interrupts = Interrupts::new()?;
        let connecting = AsyncClient::connect(&url, options.reconnect(Reconnect::default()));
        let client = tokio::select! {
            client = connecting => client?,
            signal = interrupts.next() => return Err(Failure::Interrupted(signal)),
        };
        notes.connected(&url, client.connection_info());
        let messages = client.messages();
        let mut subscriber = Subscriber {
            args,
            notes,
            printer,
            client: &client,
            messages,
            out: BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout()),
            printed: 0,
            unacknowledged: Vec::new(),
        };
        let ended = tokio::select! {
            ended = subscriber.follow(&filters, &given) => ended,
            () = after(args.timeout) => Err(Failure::TimedOut),
            // Without -C there is no other end to the work.
            signal = interrupts.next() => match args.count {
                None => Ok(()),
                Some(_) => Err(Failure::Interrupted(signal)),
            },
        };
        let settled = subscriber.settle();
        let goodbye = OtherProperties::new(&given, Scope::Disconnect)?;
        let pairs = goodbye.pairs();
        let goodbye = goodbye.disconnect(&pairs);
        tokio::select! {
            // What is lost by now is lost.
            _ = timeout(GOODBYE, client.disconnect_with(&goodbye)) => {}
            signal = interrupts.next() => return Err(Failure::Interrupted(signal)),
        }
        ended.and(settled)
    })
}

/// Is over after a while, if one is given.
pub(crate) async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

struct Subscriber<'a> {
    args: &'a args::Subscribe,
    notes: &'a Notes,
    printer: Printer,
    client: &'a AsyncClient,
    messages: AsyncMessages,
    out: BufWriter<io::Stdout>,
    printed: u64,
    /// What was printed, and may not have left the buffer.
    unacknowledged: Vec<Delivery>,
}

impl Subscriber<'_> {
    /// Prints messages until there is no more to do.
    async fn follow(&mut self, filters: &[&str], given: &[Property]) -> Result<(), Failure> {
        self.unsubscribe(given).await?;
        self.subscribe(filters, given).await?;
        if self.args.exit_after_subscribe {
            return Ok(());
        }
        let client = self.client;
        let notes = self.notes;
        let mut event = pin!(client.next_event());
        loop {
            let next = tokio::select! {
                biased;
                next = self.messages.receive_unacknowledged() => next,
                // Nothing is there at the moment, so what was printed is to be seen.
                () = ready(()) => {
                    self.settle()?;
                    tokio::select! {
                        next = self.messages.receive_unacknowledged() => next,
                        happened = &mut event => {
                            if let Ok(happened) = happened {
                                notes.event(&happened);
                            }
                            event.set(client.next_event());
                            continue;
                        }
                    }
                }
            };
            let (message, delivery) = next?;
            self.unacknowledged.extend(delivery);
            if self.take(&message).await? {
                return Ok(());
            }
        }
    }

    async fn unsubscribe(&self, given: &[Property]) -> Result<(), Failure> {
        let filters: Vec<&str> = self.args.unsubscribe.iter().map(String::as_str).collect();
        if filters.is_empty() {
            return Ok(());
        }
        let own = OtherProperties::new(given, Scope::Unsubscribe)?;
        let pairs = own.pairs();
        let properties = UnsubscribeProperties { user_properties: pairs.as_slice().into() };
        self.client.unsubscribe_with(&filters, properties).await?.granted()?;
        Ok(())
    }

    /// Fails if the broker accepts none of the filters, and tells of those that it refuses.
    async fn subscribe(&self, filters: &[&str], given: &[Property]) -> Result<(), Failure> {
        let retain_handling = match self.args.retain_handling {
            args::RetainHandling::Always => RetainHandling::Send,
            args::RetainHandling::New => RetainHandling::SendIfNew,
            args::RetainHandling::Never => RetainHandling::DoNotSend,
        };
        let subscriptions: Vec<_> = filters
            .iter()
            .map(|filter| Subscription {
                no_local: self.args.no_local,
                retain_as_published: self.args.retain_as_published,
                retain_handling,
                ..Subscription::new(filter, self.args.qos)
            })
            .collect();
        let own = OtherProperties::new(given, Scope::Subscribe)?;
        let pairs = own.pairs();
        let properties = SubscribeProperties {
            subscription_identifier: own.subscription_identifier,
            user_properties: pairs.as_slice().into(),
        };
        let answer = self.client.subscribe_with(&subscriptions, properties).await?;
        let mut granted = 0;
        for (filter, code) in filters.iter().zip(&answer.reason_codes) {
            if code.is_error() {
                let why = answer.reason_string.as_ref().map_or(String::new(), |why| format!(": {why}"));
                self.notes.problem(format_args!("the broker refused the subscription to {filter}: {code}{why}"));
            } else {
                granted += 1;
                self.notes.detail(format_args!("subscribed to {filter} at QoS {}", *code as u8));
            }
        }
        if granted == 0 { Err(Error::SubscribeRefused(answer.into()).into()) } else { Ok(()) }
    }

    /// Prints a message, if it is wanted; whether it was the last.
    async fn take(&mut self, message: &Message) -> Result<bool, Failure> {
        let args = self.args;
        if args.retained_only && !message.retain {
            return Ok(true);
        }
        if args.no_retained && message.retain
            || args.filter_out.iter().any(|filter| topic_matches(filter, &message.topic))
        {
            return Ok(false);
        }
        self.printer.print(message, &mut self.out)?;
        self.printed += 1;
        if self.unacknowledged.len() >= MOST_UNACKNOWLEDGED {
            self.settle()?;
        }
        if args.remove_retained && message.retain {
            let nothing = Publish::new(&message.topic, "").retain(true).qos(QoS::AtMostOnce);
            self.client.publish(&nothing).await?;
        }
        Ok(Some(self.printed) == args.count)
    }

    /// Hands what was printed to its reader, and then acknowledges it: what is lost here comes again.
    fn settle(&mut self) -> Result<(), Failure> {
        self.out.flush()?;
        for delivery in self.unacknowledged.drain(..) {
            self.client.acknowledge(delivery);
        }
        Ok(())
    }
}
