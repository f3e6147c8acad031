//! What happens when the authenticator or the broker is not satisfied, or takes its time.

use mqtt_wasi::codec::{Connack, ConnackProperties, Packet, QoS, ReasonCode};
use mqtt_wasi::engine::{NextStep, Step};
use mqtt_wasi::{Authenticator, CallError, Error, Event, Options, Reconnect};

use crate::calls::Came;
use crate::packets::{connack, disconnect, publish};
use crate::scenario::{ALL, Mode, SECOND, Scenario, options};
use crate::token::{METHOD, Question, Token, auth, options_with, terms};

fn connected_with(mode: Mode, options: Options) -> Scenario {
    Scenario::connected_with(mode, options, terms())
}

fn too_much(question: Question) -> Error {
    Error::Authentication(format!("{question:?} is too much"))
}

fn panicked() -> Error {
    Error::Authentication("the authenticator panicked".into())
}

/// The client begins to authenticate again, and the broker has a challenge.
fn challenge_again(s: &mut Scenario) {
    s.expect_sent(auth(ReasonCode::ReAuthenticate, "token"));
    s.broker_sends(auth(ReasonCode::ContinueAuthentication, "who?"));
}

#[test]
fn authenticator_answers_challenges_until_the_broker_takes_the_connection() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options_with(&Token::default()));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        for challenge in ["who?", "really?"] {
            s.broker_sends(auth(ReasonCode::ContinueAuthentication, challenge));
            s.expect_sent(auth(ReasonCode::ContinueAuthentication, challenge));
        }
        s.broker_sends(connack(false, terms()));
        s.expect_connected(connecting, false);
        s.expect_usable();
    }
}

/// Lets the broker speak first.
#[derive(Clone)]
struct Silent;

impl Authenticator for Silent {
    fn method(&self) -> &str {
        METHOD
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
        Ok(b"me".to_vec())
    }

    fn finish(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn authenticator_may_begin_without_data() {
    for mode in ALL {
        // What the options say is of no matter then.
        let options = options().authentication(METHOD, Some(b"stale".to_vec())).authenticator(Silent);
        let mut s = Scenario::new(mode, options);
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        let bytes = s.expect_connect();
        let Ok(Some((Packet::Connect(connect), _))) = Packet::decode(&bytes) else { panic!("CONNECT") };
        let properties = connect.properties;
        assert_eq!((properties.authentication_method, properties.authentication_data), (Some(METHOD), None));
        s.broker_sends(auth(ReasonCode::ContinueAuthentication, "who?"));
        s.expect_sent(auth(ReasonCode::ContinueAuthentication, "me"));
        s.broker_sends(connack(false, terms()));
        s.expect_connected(connecting, false);

        let again = s.authenticate();
        s.expect_sent(auth(ReasonCode::ReAuthenticate, ""));
        s.broker_sends(auth(ReasonCode::Success, ""));
        s.expect_done(again);
        s.expect_usable();
    }
}

#[test]
fn authenticator_that_cannot_begin_ends_the_attempt() {
    for mode in ALL {
        let token = Token::default();
        token.fails_at(Question::Start);
        let mut s = Scenario::new(mode, options_with(&token).reconnect(Reconnect::default()));
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_closed();
        s.expect_failed(connecting, too_much(Question::Start));
        s.wait(60 * SECOND);
        token.fails_no_more();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, terms());
        s.expect_connected(connecting, false);
        s.expect_usable();
    }
}

#[test]
fn authenticator_without_an_answer_ends_the_attempt() {
    for mode in ALL {
        let token = Token::default();
        token.fails_at(Question::Challenge);
        let mut s = Scenario::new(mode, options_with(&token).reconnect(Reconnect::default()));
        let connecting = s.connect();
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_connect();
        s.broker_sends(auth(ReasonCode::ContinueAuthentication, "who?"));
        s.expect_closed();
        s.expect_failed(connecting, too_much(Question::Challenge));
        s.expect_failed(message, too_much(Question::Challenge));
        s.wait(60 * SECOND);
    }
}

#[test]
fn broker_that_the_authenticator_does_not_trust_is_left() {
    for mode in ALL {
        let token = Token::default();
        token.fails_at(Question::Finish);
        let mut s = Scenario::new(mode, options_with(&token).reconnect(Reconnect::default()));
        let connecting = s.connect();
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, terms());
        s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
        s.expect_closed();
        s.expect_failed(connecting, too_much(Question::Finish));
        s.expect_failed(message, too_much(Question::Finish));
        s.expect_no_event();
    }
}

#[test]
fn nothing_is_sent_before_the_broker_is_trusted() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options_with(&Token::default()));
        s.authenticator_takes_its_time();
        let connecting = s.connect();
        let message = s.publish(QoS::AtMostOnce, "a", "0");
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.expect_nothing_sent();
        s.authenticator_answers();
        s.broker_takes_connection(false, terms());
        s.expect_nothing_sent();
        s.expect_pending(connecting);
        s.authenticator_answers();
        s.expect_connected(connecting, false);
        s.expect_sent(publish(QoS::AtMostOnce, 0, "a", "0"));
        s.expect_published(message);
    }
}

#[test]
fn authenticating_again_waits_for_the_one_under_way() {
    for mode in ALL {
        let mut s = connected_with(mode, options_with(&Token::default()));
        let calls = [s.authenticate(), s.authenticate(), s.authenticate()];
        for call in calls {
            challenge_again(&mut s);
            s.expect_sent(auth(ReasonCode::ContinueAuthentication, "who?"));
            s.expect_nothing_sent();
            s.expect_pending(call);
            s.broker_sends(auth(ReasonCode::Success, ""));
            s.expect_done(call);
        }
        s.expect_usable();
    }
}

#[test]
fn authenticating_again_goes_on_behind_one_that_took_too_long() {
    for mode in ALL {
        let mut s = connected_with(mode, options_with(&Token::default()).response_timeout(10 * SECOND));
        let first = s.authenticate();
        s.expect_sent(auth(ReasonCode::ReAuthenticate, "token"));
        s.wait(5 * SECOND);
        let second = s.authenticate();
        s.wait(5 * SECOND);
        s.expect_failed(first, Error::Timeout);
        s.expect_nothing_sent();
        // The broker is done with the first at last.
        s.broker_sends(auth(ReasonCode::Success, ""));
        s.expect_sent(auth(ReasonCode::ReAuthenticate, "token"));
        s.broker_sends(auth(ReasonCode::Success, ""));
        s.expect_done(second);
    }
}

#[test]
fn authenticator_that_cannot_begin_again_leaves_the_connection_as_it_is() {
    for mode in ALL {
        let token = Token::default();
        let mut s = connected_with(mode, options_with(&token));
        token.fails_at(Question::Start);
        let calls = [s.authenticate(), s.authenticate()];
        for call in calls {
            s.expect_failed(call, too_much(Question::Start));
        }
        s.expect_usable();
    }
}

#[test]
fn authenticating_again_in_vain_ends_the_connection() {
    for mode in ALL {
        for question in [Question::Challenge, Question::Finish] {
            let token = Token::default();
            let mut s = connected_with(mode, options_with(&token).reconnect(Reconnect::default()));
            token.fails_at(question);
            let under_way = s.authenticate();
            let waiting = s.authenticate();
            challenge_again(&mut s);
            if question == Question::Finish {
                s.expect_sent(auth(ReasonCode::ContinueAuthentication, "who?"));
                s.broker_sends(auth(ReasonCode::Success, ""));
            }
            s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
            s.expect_closed();
            s.expect_failed(under_way, too_much(question));
            s.expect_failed(waiting, too_much(question));
            s.expect_event(Event::Disconnected(too_much(question)));
            // It would be no different the next time.
            s.wait(60 * SECOND);
        }
    }
}

#[test]
fn broker_that_refuses_to_authenticate_again_ends_the_connection() {
    for mode in ALL {
        let mut s = connected_with(mode, options_with(&Token::default()));
        let call = s.authenticate();
        s.expect_sent(auth(ReasonCode::ReAuthenticate, "token"));
        s.broker_sends(disconnect(ReasonCode::NotAuthorized));
        s.expect_closed();
        s.expect_failed(call, Error::Disconnected(Box::new(ReasonCode::NotAuthorized.into())));
    }
}

#[test]
fn connection_that_is_made_meanwhile_authenticates_as_well() {
    for mode in ALL {
        let mut s = connected_with(mode, options_with(&Token::default()).reconnect(Reconnect::default()));
        let under_way = s.authenticate();
        s.expect_sent(auth(ReasonCode::ReAuthenticate, "token"));
        s.broker_closes();
        s.expect_closed();
        s.expect_pending(under_way);
        s.wait(SECOND);
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.broker_takes_connection(false, terms());
        s.expect_done(under_way);
        s.expect_usable();
    }
}

#[test]
fn answer_that_is_about_an_attempt_that_was_given_up_is_ignored() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options_with(&Token::default()));
        s.authenticator_takes_its_time();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        let disconnecting = s.disconnect();
        s.expect_done(disconnecting);
        s.expect_closed();
        s.expect_failed(connecting, CallError::NotConnected);
        // Another attempt waits for the authenticator to be done with that.
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.authenticator_answers();
        s.expect_nothing_sent();
        s.authenticator_answers();
        s.broker_takes_connection(false, terms());
        s.authenticator_answers();
        s.expect_connected(connecting, false);
        s.expect_usable();
    }
}

#[test]
fn authenticator_that_panics_when_it_is_to_begin_ends_the_attempt() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options_with(&Token::default()));
        s.authenticator_takes_its_time();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.authenticator_panics();
        s.expect_closed();
        s.expect_failed(connecting, panicked());
        s.expect_nothing_sent();
    }
}

#[test]
fn authenticator_that_panics_at_a_challenge_ends_the_attempt() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options_with(&Token::default()));
        s.authenticator_takes_its_time();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.authenticator_answers();
        s.expect_connect();
        s.broker_sends(auth(ReasonCode::ContinueAuthentication, "who?"));
        s.authenticator_panics();
        s.expect_closed();
        s.expect_failed(connecting, panicked());
    }
}

#[test]
fn authenticator_that_panics_over_connack_ends_the_attempt() {
    for mode in ALL {
        let mut s = Scenario::new(mode, options_with(&Token::default()));
        s.authenticator_takes_its_time();
        let connecting = s.connect();
        s.expect_dial("a:1883");
        s.attempt_succeeds();
        s.authenticator_answers();
        s.broker_takes_connection(false, terms());
        s.authenticator_panics();
        s.expect_sent(disconnect(ReasonCode::UnspecifiedError));
        s.expect_closed();
        s.expect_failed(connecting, panicked());
    }
}

#[test]
fn authenticator_that_panics_when_it_begins_again_leaves_the_connection_as_it_is() {
    for mode in ALL {
        let mut s = connected_with(mode, options_with(&Token::default()));
        s.authenticator_takes_its_time();
        let under_way = s.authenticate();
        let waiting = s.authenticate();
        s.authenticator_panics();
        s.expect_failed(under_way, panicked());
        s.expect_failed(waiting, panicked());
        s.expect_nothing_sent();
        s.expect_usable();
        let later = s.authenticate();
        s.expect_failed(later, panicked());
    }
}

/// A client whose user authenticates step by step, and has sent CONNECT.
fn by_hand(mode: Mode) -> Scenario {
    let options = options().authentication(METHOD, Some(b"first".to_vec())).reconnect(Reconnect::default());
    let mut s = Scenario::new(mode, options);
    s.engine.authenticate_by_hand();
    let connecting = s.connect();
    s.expect_dial("a:1883");
    s.attempt_succeeds();
    s.expect_connect();
    s.expect_connected(connecting, false);
    s
}

#[test]
fn user_authenticates_step_by_step() {
    for mode in ALL {
        let mut s = by_hand(mode);
        let step = s.ask(NextStep);
        s.expect_pending(step);
        s.broker_sends(auth(ReasonCode::ContinueAuthentication, "who?"));
        let Ok(Came::Step(Step::Challenge(challenge))) = s.take(step) else { panic!("a challenge") };
        assert_eq!(challenge.data.as_deref(), Some(&b"who?"[..]));
        assert_eq!(s.engine.answer_challenge(b"me", s.now()), Ok(()));
        s.settle();
        s.expect_sent(auth(ReasonCode::ContinueAuthentication, "me"));
        let step = s.ask(NextStep);
        s.broker_sends(connack(false, terms()));
        assert!(matches!(s.take(step), Ok(Came::Step(Step::Authenticated(_)))));
        s.expect_usable();
        // Once more over this connection.
        assert_eq!(s.engine.authenticate_again(b"again", s.now()), Ok(()));
        let step = s.ask(NextStep);
        s.expect_sent(auth(ReasonCode::ReAuthenticate, "again"));
        s.broker_sends(auth(ReasonCode::Success, ""));
        assert!(matches!(s.take(step), Ok(Came::Step(Step::Authenticated(_)))));
        s.expect_usable();
    }
}

#[test]
fn next_step_ends_with_the_attempt() {
    for mode in ALL {
        let mut s = by_hand(mode);
        let step = s.ask(NextStep);
        s.broker_sends(Packet::Connack(Connack { reason_code: ReasonCode::NotAuthorized, ..Connack::default() }));
        s.expect_closed();
        let error = Error::ConnectionRefused(Box::new(ReasonCode::NotAuthorized.into()));
        s.expect_failed(step, error.clone());
        assert_eq!(s.engine.answer_challenge(b"me", s.now()), Err(error));
        let mut s = by_hand(mode);
        let step = s.ask(NextStep);
        s.wait(10 * SECOND);
        s.expect_closed();
        s.expect_failed(step, Error::ConnectTimeout);
    }
}

#[test]
fn who_has_no_authenticator_cannot_authenticate_again() {
    for mode in ALL {
        let mut s = Scenario::connected_with(mode, options(), ConnackProperties::default());
        let call = s.authenticate();
        s.expect_failed(call, CallError::NothingToAuthenticate);
        s.expect_usable();
    }
}
