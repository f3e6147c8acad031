//! An authenticator that panics, or does not answer in time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use host_tests::packets::{connack, puback};
use host_tests::scripted::{Broker, Peer, Scripted};
use host_tests::subject::SOON;
use mqtt_wasi::codec::{Auth, AuthProperties, ConnackProperties, Packet, PacketType};
use mqtt_wasi::{AsyncClient, Authenticator, Client, Error, Event, Options, Publish, ReasonCode};

use super::{
    QOS_1, accept_if_it_speaks, at_once, connect_with, expect_message, in_time, runtime, single_threaded, within,
};

const METHOD: &str = "FRAGILE";

/// Panics when it has begun or checked as often as it can, and when it is challenged.
#[derive(Clone)]
struct Fragile {
    starts: u32,
    checks: u32,
}

impl Fragile {
    fn wear_out(left: &mut u32) {
        *left = left.checked_sub(1).unwrap_or_else(|| panic_quietly());
    }
}

impl Authenticator for Fragile {
    fn method(&self) -> &str {
        METHOD
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        Self::wear_out(&mut self.starts);
        Ok(Some(Vec::new()))
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        panic_quietly()
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        Self::wear_out(&mut self.checks);
        Ok(())
    }
}

/// Panics, and says nothing about it: it is no failure of the test.
pub(crate) fn panic_quietly() -> ! {
    resume_unwind(Box::new("an authenticator"))
}

fn panicked() -> Error {
    Error::Authentication("the authenticator panicked".into())
}

fn accept_fragile(broker: &Broker) -> Peer {
    broker.accept_client_with(ConnackProperties { authentication_method: Some(METHOD), ..ConnackProperties::default() })
}

#[test]
fn authenticator_that_panics_when_it_begins_is_told_to_whoever_connects() {
    let broker = Scripted::start(|broker| broker.accept().stay_silent());
    single_threaded().block_on(within(async {
        let options = Options::new().authenticator(Fragile { starts: 0, checks: 0 });
        assert_eq!(AsyncClient::connect(&broker.url(), options).await.err(), Some(panicked()));
    }));
    broker.finish();
}

#[test]
fn authenticator_that_panics_when_it_begins_anew_is_told_to_whoever_waits_for_the_next_connection() {
    let broker = Scripted::start(|broker| {
        drop(accept_fragile(broker));
        broker.accept().stay_silent();
    });
    single_threaded().block_on(within(async {
        let options = Options::new().authenticator(Fragile { starts: 1, checks: 1 }).reconnect(at_once());
        let client = connect_with(&broker.url(), options).await;
        assert_eq!(client.next_event().await, Ok(Event::Disconnected(Error::ConnectionClosed)));
        assert_eq!(client.next_event().await, Err(panicked()));
        assert_eq!(client.publish(&Publish::new("a", "").qos(QOS_1)).await, Err(panicked()));
    }));
    broker.finish();
}

#[test]
fn authenticator_that_does_not_begin_in_time_is_told_to_whoever_connects() {
    assert_connecting_ends(true);
}

#[test]
fn authenticator_that_does_not_check_the_broker_in_time_is_told_to_whoever_connects() {
    assert_connecting_ends(false);
}

/// Connects with an authenticator that takes all the time that there is, when it begins or when it checks the broker.
fn assert_connecting_ends(when_it_begins: bool) {
    let broker = Scripted::start(|broker| {
        if let Some(mut peer) = accept_if_it_speaks(broker) {
            let terms = ConnackProperties { authentication_method: Some(METHOD), ..ConnackProperties::default() };
            peer.send(&[connack(terms)]);
            peer.stay_silent();
        }
    });
    let (_end, is_over) = mpsc::channel();
    // Its end would wait for the authenticator.
    let runtime = runtime();
    let connected = runtime.block_on(async {
        let options = Options::new().connect_timeout(Duration::from_secs(2));
        let options = options.authenticator(Endless { when_it_begins, is_over: Arc::new(Mutex::new(is_over)) });
        tokio::time::timeout(SOON, AsyncClient::connect(&broker.url(), options)).await
    });
    runtime.shutdown_background();
    assert_eq!(connected.map(Result::err), Ok(Some(Error::ConnectTimeout)));
    broker.finish();
}

/// Takes all the time that there is.
#[derive(Clone)]
struct Endless {
    when_it_begins: bool,
    is_over: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Endless {
    fn wait(&self) {
        // It ends with the test.
        let _ = self.is_over.lock().unwrap().recv();
    }
}

impl Authenticator for Endless {
    fn method(&self) -> &str {
        METHOD
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        if self.when_it_begins {
            self.wait();
        }
        Ok(Some(Vec::new()))
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        self.wait();
        Ok(())
    }
}

#[test]
fn authenticator_that_panics_when_it_checks_the_broker_is_told_to_whoever_connects() {
    let broker = Scripted::start(|broker| accept_fragile(broker).stay_silent());
    single_threaded().block_on(within(async {
        let options = Options::new().authenticator(Fragile { starts: 1, checks: 0 });
        assert_eq!(AsyncClient::connect(&broker.url(), options).await.err(), Some(panicked()));
    }));
    broker.finish();
}

#[test]
fn authenticator_that_panics_when_it_begins_again_is_told_to_whoever_asked_for_it() {
    let broker = Scripted::start(|broker| accept_fragile(broker).stay_silent());
    single_threaded().block_on(within(async {
        let options = Options::new().authenticator(Fragile { starts: 1, checks: 1 });
        let client = connect_with(&broker.url(), options).await;
        assert_eq!(client.authenticate_again().await, Err(panicked()));
    }));
    broker.finish();
}

#[test]
fn authenticator_that_panics_at_a_challenge_ends_the_connection_and_every_call_is_told() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_fragile(broker);
        peer.expect_type(PacketType::Publish);
        peer.expect_type(PacketType::Auth);
        let properties = AuthProperties { authentication_method: Some(METHOD), ..AuthProperties::default() };
        peer.send(&[Packet::Auth(Auth { reason_code: ReasonCode::ContinueAuthentication, properties })]);
        peer.stay_silent();
    });
    single_threaded().block_on(within(async {
        // Not even with a policy: it is no better the next time.
        let options = Options::new().authenticator(Fragile { starts: 2, checks: 1 }).reconnect(at_once());
        let client = connect_with(&broker.url(), options).await;
        let message = Publish::new("a", "").qos(QOS_1);
        let (published, authenticated) = tokio::join!(client.publish(&message), client.authenticate_again());
        assert_eq!(published, Err(panicked()));
        assert_eq!(authenticated, Err(panicked()));
        assert_eq!(client.publish(&message).await, Err(panicked()));
        assert_eq!(client.next_event().await, Ok(Event::Disconnected(panicked())));
        assert_eq!(client.next_event().await, Err(panicked()));
    }));
    broker.finish();
}

#[test]
fn panic_of_an_authenticator_comes_through_the_blocking_call_and_the_connection_goes_on() {
    let broker = Scripted::start(|broker| {
        let mut peer = accept_fragile(broker);
        let id = expect_message(&mut peer, "afterwards");
        peer.send(&[puback(id)]);
        peer.stay_silent();
    });
    let url = broker.url();
    in_time(move || {
        let mut client = fragile_client(&url);
        let panic = catch_unwind(AssertUnwindSafe(|| client.authenticate_again()));
        assert!(panic.is_err(), "{panic:?}");
        assert_eq!(client.publish(&Publish::new("afterwards", "").qos(QOS_1)), Ok(ReasonCode::Success));
        let failure = client.authenticate_again();
        assert!(failure.is_err(), "without an authenticator");
    });
    broker.finish();
}

#[test]
fn blocking_client_that_has_lost_its_authenticator_to_a_panic_ends_its_attempts_to_connect() {
    let broker = Scripted::start(|broker| {
        accept_fragile(broker).stay_silent();
        broker.accept().stay_silent();
    });
    let url = broker.url();
    let failure = in_time(move || {
        let mut client = fragile_client(&url);
        let panic = catch_unwind(AssertUnwindSafe(|| client.authenticate_again()));
        assert!(panic.is_err(), "{panic:?}");
        client.reconnect()
    });
    assert!(failure.is_err(), "without an authenticator");
    broker.finish();
}

/// A client whose authenticator panics when it begins again.
fn fragile_client(url: &str) -> Client {
    let timeout = Duration::from_secs(4);
    let options = Options::new().connect_timeout(timeout).response_timeout(timeout);
    Client::connect(url, options.authenticator(Fragile { starts: 1, checks: 1 })).expect("a connection")
}
