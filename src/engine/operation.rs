//! What users ask for: one type for each thing, that says what it needs, submits itself, and knows what comes of it.

use core::time::Duration;

use super::calls::{CallId, Goal, Outcome, Resource, State};
use super::connection::Step;
use super::event::Event;
use super::listeners::ListenerId;
#[cfg(feature = "tracing")]
use super::observe::{Described, Kind};
use super::responders::ResponderId;
use super::{Clock, Engine};
use crate::codec::{Disconnect, Publish, QoS, ReasonCode, SubscribeProperties, Subscription, UnsubscribeProperties};
use crate::error::{CallError, Error, Reason, SubscribeReason};
use crate::message::Message;
use crate::respond::{Reply, Request};
#[cfg(doc)]
use crate::session::Session;

/// Something to ask an engine for: see [`Engine::poll_call`]. The operations of this module are all there are.
///
#[doc = memory_example!()]
/// use std::task::Poll;
/// use mqtt_wasi::engine::{Call, Connecting, Engine, Operation};
/// use mqtt_wasi::{Error, Instant, Options};
///
/// /// Looks once how far an operation is.
/// fn poll<O: Operation>(engine: &mut Engine, call: &mut Call<O>, now: Instant) -> Poll<Result<O::Output, Error>> {
///     engine.poll_call(call, None, &mut || now)
/// }
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// assert!(poll(&mut engine, &mut Call::new(Connecting), network.now()).is_pending());
/// # Ok::<(), Error>(())
/// ```
pub trait Operation: Finish {}

impl<O: Finish> Operation for O {}

mod sealed {
    #[cfg(feature = "tracing")]
    use super::Described;
    use super::{CallId, Clock, Engine, Error, Outcome, Plan, Submitted};
    use crate::error::CallError;

    /// How an operation is done. Nobody outside can name it, and so add one.
    pub trait Submit {
        /// What it takes and how long it may take.
        fn plan(&mut self, engine: &Engine) -> Plan;

        /// What it is about, for `tracing`. `None`: it only waits.
        #[cfg(feature = "tracing")]
        fn describe(&self) -> Option<Described<'_>> {
            None
        }

        /// Does it, or as much of it as is possible now.
        ///
        /// # Errors
        /// [`CallError::WouldBlock`] and [`CallError::NotConnected`] for what has to wait.
        fn submit(
            &mut self,
            engine: &mut Engine,
            call: &mut Option<CallId>,
            clock: Clock<'_>,
        ) -> Result<Submitted, CallError>;
    }

    /// What comes of it.
    pub trait Finish: Submit {
        /// As a type.
        type Output;

        /// What has come of it.
        fn output(&mut self, outcome: Outcome) -> Result<Self::Output, Error>;

        /// What has failed of several things.
        fn failure(_: &Self::Output) -> Option<&Error>
        where
            Self: Sized,
        {
            None
        }
    }
}

pub(super) use sealed::{Finish, Submit};

/// What an operation takes.
pub struct Plan {
    /// It waits in the queue of the first of these that there is none of. What is about the connection itself needs
    /// nothing.
    pub(super) needs: &'static [Resource],
    pub(super) timeout: Duration,
}

/// What has become of an operation.
pub enum Submitted {
    Done(Outcome),
    /// It continues as this.
    As(State),
    /// It is done when bytes have left.
    Flush(Goal),
    /// It is done when the store has it.
    #[cfg(feature = "store")]
    Stored,
}

impl Outcome {
    /// Why it failed. What it was not asked for is a failure too.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) | Self::Published(Err(error)) | Self::Subscribed(Err(error)) => error,
            Self::Replied(Err(error)) => error,
            other => {
                debug_assert!(false, "an outcome of another kind of call: {other:?}");
                Error::ConnectionClosed
            }
        }
    }
}

/// Publishes a message. Done once it is sent at QoS 0, and once the broker has it at QoS 1 and 2. The outcome is what
/// the broker answered.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::engine::{Connecting, Engine, Publishing};
/// use mqtt_wasi::{Options, ReasonCode};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let message = Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce);
/// let answer = network.run(&mut engine, Publishing(&message))?;
/// assert_eq!(answer.reason_code, ReasonCode::NoMatchingSubscribers);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Publishing<'a>(pub &'a Publish<'a>);

/// Puts a message into the outbound buffer. Done once there was room for it. For QoS 1 and 2 there is no result.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::Publish;
/// use mqtt_wasi::engine::{Connecting, Engine, Enqueueing};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// network.run(&mut engine, Enqueueing(&Publish::new("sensors/kitchen", "21.5")))?;
/// assert!(engine.has_outgoing());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Enqueueing<'a>(pub &'a Publish<'a>);

/// Waits until everything is sent that waits to be sent now.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::Publish;
/// use mqtt_wasi::engine::{Connecting, Engine, Enqueueing, Flushing};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// network.run(&mut engine, Enqueueing(&Publish::new("sensors/kitchen", "21.5")))?;
/// network.run(&mut engine, Flushing)?;
/// assert!(!engine.has_outgoing());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Flushing;

/// Subscribes to Topic Filters. The outcome is what the broker answered.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{QoS, SubscribeProperties, Subscription};
/// use mqtt_wasi::engine::{Connecting, Engine, Subscribing};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let subscriptions = &[Subscription::new("sensors/+", QoS::AtLeastOnce)];
/// let answer = network.run(&mut engine, Subscribing { subscriptions, properties: SubscribeProperties::default() })?;
/// assert_eq!(answer.granted()?, [QoS::AtLeastOnce]);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Subscribing<'a> {
    /// What to subscribe to.
    pub subscriptions: &'a [Subscription<'a>],
    /// A Subscription Identifier, and User Properties.
    pub properties: SubscribeProperties<'a>,
}

/// Subscribes to the Topic Filter of a [listener](Engine::open_listener). The outcome is what the broker answered.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{QoS, Subscription};
/// use mqtt_wasi::engine::{Connecting, Engine, Listening, Overflow};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// engine.deliver_to_listeners();
/// network.run(&mut engine, Connecting)?;
/// let listener = engine.open_listener(Some("sensors/+"), Overflow::default(), network.now());
/// let subscription = Subscription::new("sensors/+", QoS::AtLeastOnce);
/// let answer = network.run(&mut engine, Listening { listener, subscription })?;
/// assert_eq!(answer.granted()?, [QoS::AtLeastOnce]);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Listening<'a> {
    /// The listener.
    pub listener: ListenerId,
    /// What to subscribe to: with the filter of the listener.
    pub subscription: Subscription<'a>,
}

/// Unsubscribes from Topic Filters. The outcome is what the broker answered.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::UnsubscribeProperties;
/// use mqtt_wasi::engine::{Connecting, Engine, Unsubscribing};
/// use mqtt_wasi::{Options, ReasonCode};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let operation = Unsubscribing { filters: &["sensors/+"], properties: UnsubscribeProperties::default() };
/// let answer = network.run(&mut engine, operation)?;
/// assert_eq!(answer.reason_codes, [ReasonCode::NoSubscriptionExisted]);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Unsubscribing<'a> {
    /// The Topic Filters, as they were subscribed to.
    pub filters: &'a [&'a str],
    /// User Properties.
    pub properties: UnsubscribeProperties<'a>,
}

/// Publishes a request: see [`Session::request`]. The outcome is the reply.
///
#[doc = memory_example!()]
/// use std::time::Duration;
/// use mqtt_wasi::codec::{Publish, QoS};
/// use mqtt_wasi::engine::{Connecting, Engine, Requesting};
/// use mqtt_wasi::{Error, Options};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let request = Publish::new("calculator/add", "1 2").qos(QoS::AtLeastOnce);
/// let (timeout, nonce) = (Duration::from_secs(5), 0x7f3c_11d0_5a9e_4b21); // from a generator of random numbers
/// let reply = network.run(&mut engine, Requesting { request: &request, timeout, nonce });
/// assert_eq!(reply, Err(Error::NoResponder));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Requesting<'a> {
    /// The request.
    pub request: &'a Publish<'a>,
    /// How long to wait for room and for the reply, together.
    pub timeout: Duration,
    /// A random number that is used once and that nobody can guess.
    pub nonce: u64,
}

/// Sends a reply, and acknowledges its request. Done once there was room for it.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Publish, QoS, Subscription};
/// use mqtt_wasi::engine::{Connecting, Engine, Replying, Subscribing};
/// use mqtt_wasi::{Options, PublishProperties, Reply, Responder};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let responder = engine.open_responder(Responder::new());
/// let subscriptions = &[Subscription::new("greet", QoS::AtLeastOnce)];
/// network.run(&mut engine, Subscribing { subscriptions, properties: Default::default() })?;
/// let properties = PublishProperties { response_topic: Some("replies/me"), ..PublishProperties::default() };
/// network.publish(Publish::new("greet", "Ada").qos(QoS::AtLeastOnce).properties(properties));
/// network.turn(&mut engine);
///
/// let request = engine.next_request(responder, network.now()).expect("a request");
/// network.run(&mut engine, Replying { responder, request: &request, reply: &Reply::new("Hello") })?;
/// assert_eq!(engine.responder_stats(responder).replied, 1);
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Replying<'a> {
    /// The responder that has taken the request.
    pub responder: ResponderId,
    /// The request.
    pub request: &'a Request,
    /// The reply.
    pub reply: &'a Reply,
}

/// Authenticates again over this connection (section 4.12.1). A connection that is made meanwhile authenticates too,
/// and then this is done.
///
#[doc = memory_example!()]
/// # let token = broker::Token(b"a token".to_vec());
/// use mqtt_wasi::engine::{Authenticating, Connecting, Engine};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new().authenticator(token), 0)?;
/// network.run(&mut engine, Connecting)?;
/// network.run(&mut engine, Authenticating)?;
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Authenticating;

/// Waits for the broker's next step, where the user authenticates [step by step](Engine::authenticate_by_hand).
///
#[doc = memory_example!()]
/// use mqtt_wasi::engine::{Connecting, Engine, NextStep, Step};
/// use mqtt_wasi::Options;
///
/// let options = Options::new().authentication("TOKEN", Some(b"a token".to_vec()));
/// let mut engine = Engine::new(Some("mqtt://broker.local"), options, 0)?;
/// engine.authenticate_by_hand();
/// network.run(&mut engine, Connecting)?;
/// assert!(matches!(network.run(&mut engine, NextStep)?, Step::Authenticated(_)));
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct NextStep;

/// Connects, to the broker at the URL or, if that fails, to the fallbacks in turn. Closes a connection that is still
/// there first. The outcome is whether the broker had the session.
///
#[doc = memory_example!()]
/// use mqtt_wasi::engine::{Connecting, Engine};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// assert_eq!(network.run(&mut engine, Connecting), Ok(false));
/// assert!(engine.is_connected());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Connecting;

/// Waits until the connection that is being made is there: see [`Engine::attach`]. The outcome is whether the broker
/// had the session.
///
#[doc = memory_example!()]
/// use mqtt_wasi::engine::{Connected, Engine};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(None, Options::new(), 0)?;
/// engine.attach(network.now());
/// assert_eq!(network.run(&mut engine, Connected), Ok(false));
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Connected;

/// Sends what waits to be sent, then this DISCONNECT, and closes the connection. Does nothing if there is no
/// connection.
///
#[doc = memory_example!()]
/// use mqtt_wasi::codec::{Disconnect, ReasonCode};
/// use mqtt_wasi::engine::{Connecting, Disconnecting, Engine};
/// use mqtt_wasi::Options;
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// network.run(&mut engine, Disconnecting(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)))?;
/// assert!(!engine.is_connected());
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug)]
pub struct Disconnecting<'a>(pub &'a Disconnect<'a>);

/// Waits for the next event.
///
#[doc = memory_example!()]
/// use std::time::Duration;
/// use mqtt_wasi::engine::{Connecting, Engine, NextEvent};
/// use mqtt_wasi::{Error, Options};
///
/// let mut engine = Engine::new(Some("mqtt://broker.local"), Options::new(), 0)?;
/// network.run(&mut engine, Connecting)?;
/// let event = network.run(&mut engine, NextEvent { timeout: Duration::from_secs(5) });
/// assert_eq!(event, Err(Error::Timeout), "nothing happened");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct NextEvent {
    /// How long to wait. Then it fails with [`Error::Timeout`].
    pub timeout: Duration,
}

/// The needs of a message at this QoS.
pub(super) const fn needs_of(qos: QoS) -> &'static [Resource] {
    match qos {
        QoS::AtMostOnce => &[Resource::Outbound],
        QoS::AtLeastOnce | QoS::ExactlyOnce => &[Resource::Quota, Resource::Outbound],
    }
}

impl Submit for Publishing<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::message(Kind::Publish, self.0))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: needs_of(self.0.qos), timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        Ok(match engine.session.publish(self.0)? {
            Some(operation) => Submitted::As(State::Sent(operation)),
            None => Submitted::Flush(engine.flush_goal()),
        })
    }
}

impl Finish for Publishing<'_> {
    type Output = Reason;

    fn output(&mut self, outcome: Outcome) -> Result<Reason, Error> {
        match outcome {
            Outcome::Published(result) => result,
            Outcome::Done => Ok(ReasonCode::Success.into()),
            other => Err(other.into_error()),
        }
    }
}

impl Submit for Enqueueing<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::message(Kind::Publish, self.0))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        #[cfg(feature = "store")]
        if engine.accepts(self.0) {
            return Plan { needs: &[], timeout: engine.response_timeout };
        }
        Plan { needs: needs_of(self.0.qos), timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        #[cfg_attr(not(feature = "store"), allow(unused_variables))]
        let operation = engine.session.publish(self.0)?;
        #[cfg(feature = "store")]
        if operation.is_some() && engine.session.has_store() {
            return Ok(Submitted::Stored);
        }
        Ok(Submitted::Done(Outcome::Done))
    }
}

impl Finish for Enqueueing<'_> {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for Flushing {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::new(Kind::Flush))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        Ok(Submitted::Flush(engine.flush_goal()))
    }
}

impl Finish for Flushing {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for Subscribing<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::subscriptions(self.subscriptions))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        let operation = engine.session.subscribe(self.subscriptions, self.properties)?;
        engine.ask_for_own(operation, self.subscriptions, self.properties.subscription_identifier);
        Ok(Submitted::As(State::Sent(operation)))
    }
}

impl Finish for Subscribing<'_> {
    type Output = SubscribeReason;

    fn output(&mut self, outcome: Outcome) -> Result<SubscribeReason, Error> {
        subscribed(outcome)
    }
}

impl Submit for Listening<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::subscription(&self.subscription))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        let operation = self.subscribe(engine)?;
        engine.listeners.ask_for(self.listener);
        Ok(Submitted::As(State::Sent(operation)))
    }
}

impl Finish for Listening<'_> {
    type Output = SubscribeReason;

    fn output(&mut self, outcome: Outcome) -> Result<SubscribeReason, Error> {
        subscribed(outcome)
    }
}

impl Submit for Unsubscribing<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::filters(self.filters))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Outbound], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        let operation = engine.session.unsubscribe(self.filters, self.properties)?;
        engine.forget_own(self.filters);
        Ok(Submitted::As(State::Sent(operation)))
    }
}

impl Finish for Unsubscribing<'_> {
    type Output = SubscribeReason;

    fn output(&mut self, outcome: Outcome) -> Result<SubscribeReason, Error> {
        subscribed(outcome)
    }
}

impl Submit for Requesting<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::message(Kind::Request, self.request))
    }

    fn plan(&mut self, _: &Engine) -> Plan {
        let needs: &[Resource] = match self.request.qos {
            QoS::AtMostOnce => &[Resource::Requests, Resource::Outbound],
            QoS::AtLeastOnce | QoS::ExactlyOnce => &[Resource::Requests, Resource::Quota, Resource::Outbound],
        };
        Plan { needs, timeout: self.timeout }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        call: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        let now = clock();
        // Its time runs while there is no room for it, too.
        let waiting = call.and_then(|id| engine.calls.get(id)).map(|entry| entry.deadline);
        let timeout = waiting.map_or(self.timeout, |deadline| deadline.saturating_duration_since(now));
        Ok(Submitted::As(State::Sent(engine.session.request(self.request, timeout, self.nonce, now)?)))
    }
}

impl Finish for Requesting<'_> {
    type Output = Message;

    fn output(&mut self, outcome: Outcome) -> Result<Message, Error> {
        match outcome {
            Outcome::Replied(result) => result.map(|message| *message),
            other => Err(other.into_error()),
        }
    }
}

impl Submit for Replying<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        let topic = self.request.message().response_topic.as_deref().unwrap_or_default();
        Some(Described::to(Kind::Reply, topic))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: needs_of(self.request.message().qos), timeout: engine.response_timeout }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        _: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        engine.reply(self.responder, self.request, self.reply, clock())?;
        Ok(Submitted::Done(Outcome::Done))
    }
}

impl Finish for Replying<'_> {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for Authenticating {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::new(Kind::Authenticate))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        Plan { needs: &[Resource::Authentication], timeout: engine.response_timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        engine.start_authenticating_again()
    }
}

impl Finish for Authenticating {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for NextStep {
    fn plan(&mut self, engine: &Engine) -> Plan {
        // Before there is a connection the session keeps the time.
        let timeout = if engine.is_connected() { engine.response_timeout } else { Duration::MAX };
        Plan { needs: &[Resource::Step], timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        engine.take_step().map(|step| Submitted::Done(Outcome::Step(step))).ok_or(CallError::WouldBlock)
    }
}

impl Finish for NextStep {
    type Output = Step;

    fn output(&mut self, outcome: Outcome) -> Result<Step, Error> {
        match outcome {
            Outcome::Step(step) => Ok(step),
            other => Err(other.into_error()),
        }
    }
}

impl Submit for Connecting {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::new(Kind::Connect))
    }

    fn plan(&mut self, engine: &Engine) -> Plan {
        let first = engine.policy.as_ref().and_then(|policy| policy.first_connect);
        Plan { needs: &[], timeout: first.filter(|_| engine.connections == 0).unwrap_or(Duration::MAX) }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        _: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        Ok(match engine.connect_by_hand(clock()) {
            Ok(()) => Submitted::As(State::Connecting),
            Err(error) => Submitted::Done(Outcome::Failed(error)),
        })
    }
}

impl Finish for Connecting {
    type Output = bool;

    fn output(&mut self, outcome: Outcome) -> Result<bool, Error> {
        connected(outcome)
    }
}

impl Submit for Connected {
    fn plan(&mut self, _: &Engine) -> Plan {
        Plan { needs: &[], timeout: Duration::MAX }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        Ok(match engine.connection_so_far() {
            Some(outcome) => Submitted::Done(outcome),
            None => Submitted::As(State::Connecting),
        })
    }
}

impl Finish for Connected {
    type Output = bool;

    fn output(&mut self, outcome: Outcome) -> Result<bool, Error> {
        connected(outcome)
    }
}

impl Submit for Disconnecting<'_> {
    #[cfg(feature = "tracing")]
    fn describe(&self) -> Option<Described<'_>> {
        Some(Described::new(Kind::Disconnect))
    }

    fn plan(&mut self, _: &Engine) -> Plan {
        Plan { needs: &[], timeout: Duration::MAX }
    }

    fn submit(
        &mut self,
        engine: &mut Engine,
        _: &mut Option<CallId>,
        clock: Clock<'_>,
    ) -> Result<Submitted, CallError> {
        let is_over = engine.disconnect(self.0, clock())?;
        Ok(if is_over { Submitted::Done(Outcome::Done) } else { Submitted::As(State::Disconnecting) })
    }
}

impl Finish for Disconnecting<'_> {
    type Output = ();

    fn output(&mut self, outcome: Outcome) -> Result<(), Error> {
        done(outcome)
    }
}

impl Submit for NextEvent {
    fn plan(&mut self, _: &Engine) -> Plan {
        Plan { needs: &[Resource::Event], timeout: self.timeout }
    }

    fn submit(&mut self, engine: &mut Engine, _: &mut Option<CallId>, _: Clock<'_>) -> Result<Submitted, CallError> {
        engine.events.pop().map(|event| Submitted::Done(Outcome::Event(event))).ok_or(CallError::WouldBlock)
    }
}

impl Finish for NextEvent {
    type Output = Event;

    fn output(&mut self, outcome: Outcome) -> Result<Event, Error> {
        match outcome {
            Outcome::Event(event) => Ok(event),
            other => Err(other.into_error()),
        }
    }
}

fn done(outcome: Outcome) -> Result<(), Error> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(other.into_error()),
    }
}

fn subscribed(outcome: Outcome) -> Result<SubscribeReason, Error> {
    match outcome {
        Outcome::Subscribed(result) => result,
        other => Err(other.into_error()),
    }
}

fn connected(outcome: Outcome) -> Result<bool, Error> {
    match outcome {
        Outcome::Connected { session_present } => Ok(session_present),
        other => Err(other.into_error()),
    }
}
