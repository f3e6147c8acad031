//! Requests and replies over the blocking client.

use alloc::string::ToString;
use alloc::sync::Arc;
#[cfg(any(
    feature = "std",
    all(feature = "wasi", target_os = "wasi", target_env = "p2"),
    all(feature = "component", target_arch = "wasm32")
))]
use alloc::vec::Vec;
use core::fmt;
use core::task::Poll;
use core::time::Duration;

use super::Client;
use crate::codec::{Publish, Subscription};
#[cfg(doc)]
use crate::engine::Options;
use crate::engine::{Call, CallId, Replying, Requesting};
use crate::error::Error;
use crate::message::Message;
use crate::respond::{Reply, Request, Responder, ResponderStats};
use crate::transport::Transport;
#[cfg(any(
    feature = "std",
    all(feature = "wasi", target_os = "wasi", target_env = "p2"),
    all(feature = "component", target_arch = "wasm32")
))]
use crate::{message::borrowed, trace::TraceContext};

/// A request that waits for its reply: what [`Client::wait_for_reply`] takes. When it is dropped, the reply is dropped
/// too.
///
#[doc = example!()]
/// # let broker = broker.with_calculator();
/// use std::time::Duration;
/// use mqtt_wasi::{Client, Options, PendingReply, Publish, QoS};
///
/// let mut client = Client::connect(&url, Options::new())?;
/// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
/// let pending: PendingReply = client.start_request(&request, Duration::from_secs(5))?;
/// assert_eq!(client.wait_for_reply(pending)?.payload, b"3");
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct PendingReply {
    pub(crate) id: CallId,
    /// Shows the engine that somebody has it.
    _owner: Arc<()>,
}

/// Requests. They need randomness, which comes from the system: without `std` see `Client::start_request_with`.
#[cfg(any(
    feature = "std",
    all(feature = "wasi", target_os = "wasi", target_env = "p2"),
    all(feature = "component", target_arch = "wasm32")
))]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
impl<T: Transport> Client<T> {
    /// Publishes a request and returns the reply. Blocks for at most `timeout`. The client sets Response Topic and
    /// Correlation Data, and the timeout as Message Expiry Interval unless there is one (section 4.10). Before its
    /// first request it subscribes to its [Response Topic](Options::response_topic).
    ///
    /// # Errors
    /// [`Error::Timeout`] when no reply came in time; [`Error::NoResponder`] when the broker knows of no subscriber to
    /// the topic of the request; [`Error::RequestFailed`] when the responder answers that the request failed;
    /// [`CallError::RepliesRefused`](crate::CallError::RepliesRefused) when the broker does not let the client
    /// subscribe to its Response Topic; and as [`Client::publish`].
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Error, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let reply = client.request(&request, Duration::from_secs(5))?;
    /// assert_eq!(reply.payload, b"3");
    ///
    /// let nobody = Publish::new("calculator/divide", "1 2").qos(QoS::AtLeastOnce);
    /// assert_eq!(client.request(&nobody, Duration::from_secs(5)), Err(Error::NoResponder));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn request(&mut self, request: &Publish<'_>, timeout: Duration) -> Result<Message, Error> {
        let nonce = crate::random::nonce()?;
        self.run(Requesting { request, timeout, nonce })
    }

    /// As [`Client::request`], with a trace context in the User Properties, in place of any other in them.
    ///
    /// # Errors
    /// As [`Client::request`].
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, TraceContext};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let reply = client.request_traced(&request, Duration::from_secs(5), &TraceContext::random_root(true))?;
    /// assert_eq!(reply.payload, b"3");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn request_traced(
        &mut self,
        request: &Publish<'_>,
        timeout: Duration,
        context: &TraceContext,
    ) -> Result<Message, Error> {
        let user_properties = context.added_to(&request.properties.user_properties);
        self.request(&request.with_user_properties(&borrowed(&user_properties)), timeout)
    }

    /// Serializes a request to JSON, publishes it at QoS 1, and reads the reply as JSON.
    ///
    /// # Errors
    /// [`Error::Json`] when the request cannot be written as JSON, or the reply is not the JSON wanted; and as
    /// [`Client::request`].
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let sum: u32 = client.request_json("calculator/add", &[1, 2], Duration::from_secs(5))?;
    /// assert_eq!(sum, 3);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn request_json<R: serde::de::DeserializeOwned>(
        &mut self,
        topic: &str,
        request: &(impl serde::Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<R, Error> {
        let payload = crate::json::to_json(request)?;
        let properties = crate::json::json_properties();
        let publish = Publish::new(topic, &payload).qos(crate::codec::QoS::AtLeastOnce).properties(properties);
        self.request(&publish, timeout)?.json()
    }

    /// Publishes requests in order and waits for all of their replies, for at most `timeout` each. Returns the result
    /// of each, in order: what [`Client::request`] would return.
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let requests = ["1 2", "3 4"].map(|numbers| Publish::new("calculator/add", numbers).qos(QoS::AtLeastOnce));
    /// let replies = client.request_all(requests, Duration::from_secs(5));
    /// let sums: Vec<_> = replies.into_iter().map(|reply| reply.map(|reply| reply.payload)).collect::<Result<_, _>>()?;
    /// assert_eq!(sums, [b"3", b"7"]);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn request_all<'a>(
        &mut self,
        requests: impl IntoIterator<Item = Publish<'a>>,
        timeout: Duration,
    ) -> Vec<Result<Message, Error>> {
        let pending: Vec<_> = requests.into_iter().map(|request| self.start_request(&request, timeout)).collect();
        pending.into_iter().map(|pending| self.wait_for_reply(pending?)).collect()
    }

    /// Puts a request into the outbound buffer, to be sent by the next call that sends or waits. The request ends after
    /// `timeout`. Any number of requests may wait for their replies at the same time, up to
    /// [`Options::pending_request_limit`]. Blocks only while there is no room, and before the first request for the
    /// subscription to the Response Topic, for at most `timeout`.
    ///
    /// # Errors
    /// [`CallError::RepliesRefused`](crate::CallError::RepliesRefused); [`Error::Timeout`] when there is no room within
    /// `timeout`; and as [`Client::enqueue`].
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let request = |numbers| Publish::new("calculator/add", numbers).qos(QoS::AtLeastOnce);
    /// let first = client.start_request(&request("1 2"), Duration::from_secs(5))?;
    /// let second = client.start_request(&request("3 4"), Duration::from_secs(5))?;
    /// assert_eq!(client.wait_for_reply(second)?.payload, b"7");
    /// assert_eq!(client.wait_for_reply(first)?.payload, b"3");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn start_request(&mut self, request: &Publish<'_>, timeout: Duration) -> Result<PendingReply, Error> {
        let nonce = crate::random::nonce()?;
        self.start_request_with(request, timeout, nonce)
    }
}

impl<T: Transport> Client<T> {
    /// As `Client::start_request`, where the system gives no randomness: `nonce` is a random number that is used once
    /// and that nobody can guess.
    ///
    /// # Errors
    /// As `Client::start_request`.
    ///
    #[doc = memory_example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Error, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect_over(network, Options::new())?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let random = 0x7f3c_11d0_5a9e_4b21; // from a generator of random numbers
    /// let pending = client.start_request_with(&request, Duration::from_secs(5), random)?;
    /// assert_eq!(client.wait_for_reply(pending), Err(Error::NoResponder));
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn start_request_with(
        &mut self,
        request: &Publish<'_>,
        timeout: Duration,
        nonce: u64,
    ) -> Result<PendingReply, Error> {
        let mut call = Call::new(Requesting { request, timeout, nonce });
        let owner = Arc::new(());
        loop {
            let network = &self.network;
            if let Poll::Ready(id) = self.engine.poll_submitted(&mut call, &owner, &mut || network.now()) {
                return Ok(PendingReply { id: id?, _owner: owner });
            }
            self.turn(None, None);
        }
    }

    /// Waits for the reply to a request, until the timeout of the request.
    ///
    /// # Errors
    /// As `Client::request`.
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let pending = client.start_request(&request, Duration::from_secs(5))?;
    /// // Something else, for a moment.
    /// assert_eq!(client.wait_for_reply(pending)?.payload, b"3");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn wait_for_reply(&mut self, pending: PendingReply) -> Result<Message, Error> {
        loop {
            if let Some(reply) = self.poll_reply(&pending, Duration::MAX)? {
                return Ok(reply);
            }
        }
    }

    /// Waits for the reply to a request, for at most `timeout`; zero looks whether it has come. `None`: not yet. After
    /// a reply or an error the request is over.
    ///
    /// # Errors
    /// As `Client::request`. After [`Error::AnswerBehindMessages`] the request continues: receive messages, and wait
    /// again.
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let pending = client.start_request(&request, Duration::from_secs(5))?;
    /// let reply = loop {
    ///     if let Some(reply) = client.poll_reply(&pending, Duration::from_millis(100))? {
    ///         break reply;
    ///     }
    ///     // Something else, for a moment.
    /// };
    /// assert_eq!(reply.payload, b"3");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn poll_reply(&mut self, pending: &PendingReply, timeout: Duration) -> Result<Option<Message>, Error> {
        let mut now = self.network.now();
        let until = now + timeout;
        let mut is_late = false;
        loop {
            match self.engine.poll_reply(pending.id, &mut || now) {
                Poll::Ready(reply) => return reply.map(Some),
                Poll::Pending if is_late => return Ok(None),
                Poll::Pending => {}
            }
            let turned = self.turn(Some(until), Some(now));
            now = turned.now.unwrap_or_else(|| self.network.now());
            is_late = now >= until;
        }
    }

    /// Gives a request up. Its reply is dropped when it comes. To drop the [`PendingReply`] does the same, but then the
    /// request counts against [`Options::pending_request_limit`] until its reply has come or its time has run out.
    ///
    #[doc = example!()]
    /// # let broker = broker.with_calculator();
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
    /// let pending = client.start_request(&request, Duration::from_secs(60))?;
    /// assert_eq!(client.stats().pending_requests, 1);
    /// client.give_up(&pending);
    /// assert_eq!(client.stats().pending_requests, 0);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn give_up(&mut self, pending: &PendingReply) {
        self.engine.cancel(pending.id, self.network.now());
    }

    /// Sets the responder of [`Client::next_request`] and [`Client::serve`], in place of [`Responder::new`]: how many
    /// replies it keeps for requests that come again, and for how long ([`Responder::keep`]). Call it before the first
    /// request is taken: what the responder before it knows is forgotten.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Responder};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// // At most 100 replies or 64 KiB of them, for a minute.
    /// client.set_responder(Responder::new().keep(100, 65_536, Duration::from_secs(60)));
    /// assert_eq!(client.next_request(Duration::ZERO)?, None);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn set_responder(&mut self, responder: Responder) {
        if let Some(before) = self.responder.take() {
            self.engine.close_responder(before);
        }
        self.responder = Some(self.engine.open_responder(responder));
    }

    /// Waits for the next request to answer, for at most `timeout`. Subscribe to the topics of requests first. Every
    /// message is a request; one without a Response Topic wants no reply. A request that comes again gets the reply
    /// that it had, and is not returned again, as long as the [responder](Client::set_responder) keeps that reply.
    ///
    /// A QoS 1 or 2 request is acknowledged by [`Client::reply`]. The acknowledgements of messages that came after it
    /// wait for that, so answer each request, or give it up with [`Client::give_up_request`].
    ///
    /// # Errors
    /// As [`Client::receive`].
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Reply, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("calculator/double", QoS::AtLeastOnce)])?;
    /// # let request = Publish::new("calculator/double", "21").qos(QoS::AtLeastOnce);
    /// # let pending = client.start_request(&request, Duration::from_secs(5))?;
    /// let request = client.next_request(Duration::from_secs(5))?.expect("a request");
    /// let number: u32 = String::from_utf8_lossy(&request.message().payload).parse().unwrap();
    /// client.reply(&request, &Reply::from((number * 2).to_string()))?;
    /// # assert_eq!(client.wait_for_reply(pending)?.payload, b"42");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn next_request(&mut self, timeout: Duration) -> Result<Option<Request>, Error> {
        let responder = self.responder();
        self.take_within(timeout, |engine, now| engine.next_request(responder, now))
    }

    /// Sends a reply, and acknowledges the request. The QoS of the reply is that of the request, or the highest that
    /// the broker accepts. Sends nothing if the requester no longer waits, or wants no reply. Blocks for at most
    /// [`Options::response_timeout`]: what is not sent by then is sent by later calls.
    ///
    /// # Errors
    /// As [`Client::enqueue`]. After [`CallError::ReceiveFirst`](crate::CallError::ReceiveFirst) and
    /// [`CallError::NotConnected`](crate::CallError::NotConnected) the same reply can be sent later. After any other
    /// [`Error::Call`] the request is acknowledged, and can still be answered with another reply, for example a smaller
    /// one.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Reply, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("greet", QoS::AtLeastOnce)])?;
    /// # let request = Publish::new("greet", "Ada").qos(QoS::AtLeastOnce);
    /// # let pending = client.start_request(&request, Duration::from_secs(60))?;
    /// while let Some(request) = client.next_request(Duration::from_secs(60))? {
    ///     let name = String::from_utf8_lossy(&request.message().payload);
    ///     let reply = match &*name {
    ///         "" => Reply::failed("no name"),
    ///         name => Reply::new(format!("Hello, {name}")).content_type("text/plain"),
    ///     };
    ///     client.reply(&request, &reply)?;
    /// #   break;
    /// }
    /// # assert_eq!(client.wait_for_reply(pending)?.payload, b"Hello, Ada");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn reply(&mut self, request: &Request, reply: &Reply) -> Result<(), Error> {
        self.enqueue_reply(request, reply)?;
        self.flush()
    }

    pub(crate) fn enqueue_reply(&mut self, request: &Request, reply: &Reply) -> Result<(), Error> {
        let responder = self.responder();
        self.run(Replying { responder, request, reply })
    }

    /// Lets a request go without a reply. It is not acknowledged, nor are messages that came after it, so the broker
    /// may send them again over the next connection.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("jobs", QoS::AtLeastOnce)])?;
    /// # client.publish(&Publish::new("jobs", "print 3 labels").qos(QoS::AtLeastOnce))?;
    /// let request = client.next_request(Duration::from_secs(5))?.expect("a request");
    /// client.give_up_request(&request); // no paper
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn give_up_request(&mut self, request: &Request) {
        let responder = self.responder();
        self.engine.give_up(responder, request);
    }

    /// Counters of the requests that this client has taken.
    ///
    #[doc = example!()]
    /// use std::time::Duration;
    /// use mqtt_wasi::{Client, Options, Publish, QoS, Subscription};
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// client.subscribe(&[Subscription::new("greet", QoS::AtLeastOnce)])?;
    /// # let request = Publish::new("greet", "Ada").qos(QoS::AtLeastOnce);
    /// # let pending = client.start_request(&request, Duration::from_secs(5))?;
    /// let request = client.next_request(Duration::from_secs(5))?.expect("a request");
    /// client.reply(&request, &"Hello".into())?;
    /// assert_eq!(client.responder_stats().replied, 1);
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    #[must_use]
    pub fn responder_stats(&self) -> ResponderStats {
        self.responder.map(|responder| self.engine.responder_stats(responder)).unwrap_or_default()
    }

    /// Subscribes, and answers requests with what `handler` returns, one by one, until the connection ends and the
    /// client does not connect again by itself. An error of the handler is sent to the requester, which gets
    /// [`Error::RequestFailed`].
    ///
    /// A reply that cannot be sent, for example because it is larger than the broker accepts, ends nothing: it is
    /// counted ([`ResponderStats::failed`]), the event [`Event::ReplyDropped`](crate::Event::ReplyDropped) tells of it,
    /// and its request is acknowledged.
    ///
    /// # Errors
    /// As [`Client::subscribe`], and what ended the connection.
    ///
    #[doc = example!()]
    /// use mqtt_wasi::{Client, Options, QoS, Subscription};
    /// # use mqtt_wasi::Publish;
    ///
    /// let mut client = Client::connect(&url, Options::new())?;
    /// std::thread::spawn(move || {
    ///     client.serve(Subscription::new("calculator/double", QoS::AtLeastOnce), |request| {
    ///         let number = String::from_utf8_lossy(&request.payload).parse::<u32>();
    ///         number.map(|number| (number * 2).to_string())
    ///     })
    /// });
    /// # let mut requester = Client::connect(&url, Options::new())?;
    /// # let request = Publish::new("calculator/double", "21").qos(QoS::AtLeastOnce);
    /// # let reply = loop {
    /// #     match requester.request(&request, std::time::Duration::from_secs(5)) {
    /// #         Err(mqtt_wasi::Error::NoResponder) => {} // not yet
    /// #         reply => break reply?,
    /// #     }
    /// # };
    /// # assert_eq!(reply.payload, b"42");
    /// # Ok::<(), mqtt_wasi::Error>(())
    /// ```
    pub fn serve<R: Into<Reply>, E: fmt::Display>(
        &mut self,
        subscription: Subscription<'_>,
        mut handler: impl FnMut(&Message) -> Result<R, E>,
    ) -> Result<core::convert::Infallible, Error> {
        self.subscribe(&[subscription])?;
        loop {
            let Some(request) = self.next_request(Duration::MAX)? else { continue };
            let reply = match handler(request.message()) {
                Ok(reply) => reply.into(),
                Err(error) => Reply::failed(error.to_string()),
            };
            if self.reply(&request, &reply).is_err() {
                // That the connection is over for good is told by waiting for the next.
                self.give_up_request(&request);
            }
        }
    }
}
