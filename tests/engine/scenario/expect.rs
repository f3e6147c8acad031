//! What a story expects of the client: what it dials and sends, and what its calls and events tell.

use mqtt_wasi::codec::{Packet, PacketType, Publish, QoS, ReasonCode, Subscription};
use mqtt_wasi::{Error, Event};

use super::{Asked, Scenario, decode};
use crate::calls::Came;
use crate::packets;
use crate::packets::{puback, suback};

impl Scenario {
    /// The client dials this host and port, and nobody has answered yet.
    #[track_caller]
    pub(crate) fn expect_dial(&mut self, place: &str) {
        assert_eq!(self.dials.pop_front().as_deref(), Some(place), "whom the client dials");
        assert!(self.attempt.is_some() || !self.dials.is_empty(), "an attempt that is under way");
    }

    #[track_caller]
    pub(crate) fn expect_no_dial(&self) {
        assert_eq!(self.dials.front(), None);
    }

    /// The engine has given the attempt up.
    #[track_caller]
    pub(crate) fn expect_given_up(&mut self) {
        assert_eq!((self.given_up, self.closed), (1, 0), "an attempt is given up");
        assert!(self.attempt.is_none());
        self.given_up = 0;
    }

    /// The engine has given an attempt up for another one.
    #[track_caller]
    pub(crate) fn expect_replaced(&mut self) {
        assert_eq!((self.given_up, self.closed), (1, 0), "an attempt is given up");
        assert!(self.attempt.is_some());
        self.given_up = 0;
    }

    /// The engine has closed the transport.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        assert_eq!((self.given_up, self.closed), (0, 1), "a transport is closed");
        self.closed = 0;
    }

    /// The client sent this, after what was told before.
    #[track_caller]
    pub(crate) fn expect_sent(&mut self, expected: Packet<'_>) {
        let Some(bytes) = self.sent.pop_front() else { panic!("the client should have sent {expected:?}") };
        assert_eq!(decode(&bytes), expected);
    }

    #[track_caller]
    pub(crate) fn expect_sent_all(&mut self, expected: &[Packet<'_>]) {
        for &packet in expected {
            self.expect_sent(packet);
        }
    }

    #[track_caller]
    pub(crate) fn expect_nothing_sent(&self) {
        if let Some(bytes) = self.sent.front() {
            panic!("the client should have sent nothing, not {:?}", decode(bytes));
        }
    }

    /// The client sent CONNECT, whatever it says.
    #[track_caller]
    pub(crate) fn expect_connect(&mut self) -> Vec<u8> {
        let Some(bytes) = self.sent.pop_front() else { panic!("the client should have sent CONNECT") };
        assert_eq!(decode(&bytes).packet_type(), PacketType::Connect);
        bytes
    }

    /// The client sent SUBSCRIBE for this alone; returns its Packet Identifier and its Subscription Identifier.
    #[track_caller]
    pub(crate) fn expect_subscribe(&mut self, expected: Subscription<'_>) -> (u16, Option<u32>) {
        let Some(bytes) = self.sent.pop_front() else { panic!("the client should have subscribed to {expected:?}") };
        let Packet::Subscribe(subscribe) = decode(&bytes) else { panic!("no SUBSCRIBE: {:?}", decode(&bytes)) };
        assert_eq!(subscribe.subscriptions.iter().collect::<Vec<_>>(), [expected]);
        (subscribe.packet_id.get(), subscribe.properties.subscription_identifier)
    }

    /// The client sent SUBSCRIBE for this filter at QoS 1, and the broker grants it; returns its Subscription Identifier.
    #[track_caller]
    pub(crate) fn broker_grants(&mut self, filter: &str) -> Option<u32> {
        let (packet_id, identifier) = self.expect_subscribe(Subscription::new(filter, QoS::AtLeastOnce));
        self.broker_sends(suback(packet_id, &[ReasonCode::GrantedQos1]));
        identifier
    }

    /// The client sent a request with this payload; returns its Correlation Data.
    #[track_caller]
    pub(crate) fn expect_request(&mut self, payload: &str) -> Vec<u8> {
        let Some(bytes) = self.sent.pop_front() else { panic!("the client should have sent the request {payload}") };
        let Packet::Publish(request) = decode(&bytes) else { panic!("no request: {:?}", decode(&bytes)) };
        assert_eq!((request.topic, String::from_utf8_lossy(request.payload).as_ref()), ("q", payload));
        request.properties.correlation_data.expect("Correlation Data").to_vec()
    }

    /// The client sent UNSUBSCRIBE for this alone; returns its Packet Identifier.
    #[track_caller]
    pub(crate) fn expect_unsubscribe(&mut self, filter: &str) -> u16 {
        let Some(bytes) = self.sent.pop_front() else { panic!("the client should have unsubscribed from {filter}") };
        let Packet::Unsubscribe(unsubscribe) = decode(&bytes) else { panic!("no UNSUBSCRIBE: {:?}", decode(&bytes)) };
        assert_eq!(unsubscribe.filters.iter().collect::<Vec<_>>(), [filter]);
        unsubscribe.packet_id.get()
    }

    /// What the client sent and the story has not told of.
    pub(crate) fn take_sent(&mut self) -> Vec<Vec<u8>> {
        self.sent.drain(..).collect()
    }

    #[track_caller]
    pub(crate) fn expect_pending(&self, asked: Asked) {
        let call = &self.calls[asked.0];
        assert_eq!(call.came, None, "the call is not over");
        assert!(call.running.is_some(), "the call is not over");
    }

    /// The call has ended; how.
    #[track_caller]
    pub(crate) fn take(&mut self, asked: Asked) -> Result<Came, Error> {
        self.calls[asked.0].came.take().expect("the call should be over")
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, asked: Asked, expected: Came) {
        assert_eq!(self.take(asked), Ok(expected));
    }

    #[track_caller]
    pub(crate) fn expect_failed(&mut self, asked: Asked, error: impl Into<Error>) {
        assert_eq!(self.take(asked), Err(error.into()));
    }

    #[track_caller]
    pub(crate) fn expect_done(&mut self, asked: Asked) {
        self.expect(asked, Came::Done);
    }

    #[track_caller]
    pub(crate) fn expect_connected(&mut self, asked: Asked, session_present: bool) {
        self.expect(asked, Came::Connected { session_present });
    }

    #[track_caller]
    pub(crate) fn expect_published(&mut self, asked: Asked) {
        self.expect(asked, Came::Published(ReasonCode::Success));
    }

    #[track_caller]
    pub(crate) fn expect_subscribed(&mut self, asked: Asked) {
        self.expect(asked, Came::Subscribed(vec![ReasonCode::GrantedQos1]));
    }

    #[track_caller]
    pub(crate) fn expect_unsubscribed(&mut self, asked: Asked) {
        self.expect(asked, Came::Subscribed(vec![ReasonCode::Success]));
    }

    #[track_caller]
    pub(crate) fn expect_replied(&mut self, asked: Asked, payload: &str) {
        match self.take(asked) {
            Ok(Came::Replied(reply)) => assert_eq!(String::from_utf8_lossy(&reply.payload), payload),
            other => panic!("there should be the reply {payload}, not {other:?}"),
        }
    }

    /// How often the user of a call was woken so far.
    pub(crate) fn rings(&self, asked: Asked) -> usize {
        self.calls[asked.0].bell.rings()
    }

    /// The next thing that happened is this.
    #[track_caller]
    pub(crate) fn expect_event(&mut self, expected: Event) {
        let event = self.engine.take_event(self.now);
        self.settle();
        assert_eq!(event, Some(expected));
    }

    #[track_caller]
    pub(crate) fn expect_no_event(&mut self) {
        let event = self.engine.take_event(self.now);
        self.settle();
        assert_eq!(event, None);
    }

    /// The engine is as good as before: a message goes all its way at QoS 0 and 1.
    #[track_caller]
    pub(crate) fn expect_usable(&mut self) {
        self.expect_nothing_sent();
        let message = self.publish(QoS::AtMostOnce, "usable", "0");
        self.expect_sent(packets::publish(QoS::AtMostOnce, 0, "usable", "0"));
        self.expect_published(message);
        let message = self.publish(QoS::AtLeastOnce, "usable", "1");
        let bytes = self.sent.pop_front().expect("PUBLISH");
        let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = decode(&bytes) else {
            panic!("a message at QoS 1, not {:?}", decode(&bytes))
        };
        self.broker_sends(puback(packet_id.get()));
        self.expect_published(message);
    }

    /// How many bytes of the broker the client has left unread.
    pub(crate) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// The story ends here, whatever it has not told.
    pub(crate) fn leave_the_rest(mut self) {
        self.leaves_untold = true;
    }
}
