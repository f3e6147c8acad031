//! Which broker to connect to, and when: several of them in turn, redirects, and growing delays between attempts.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::options::Reconnect;
use crate::codec::ReasonCode;
#[cfg(feature = "proxy")]
use crate::error::ProxyFailure;
#[cfg(feature = "store")]
use crate::error::StoreErrorKind;
#[cfg(feature = "stream")]
use crate::error::StreamError;
#[cfg(any(feature = "proxy", feature = "ws"))]
use crate::error::TransportError;
#[cfg(feature = "ws")]
use crate::error::WebSocketFailure;
use crate::error::{Error, ProtocolError, Reason, TlsFailure, TransportErrorKind};
use crate::url::{BrokerUrl, UrlError};

/// The brokers that a client may connect to, and where it stands with them.
#[derive(Debug)]
pub(super) struct Brokers {
    urls: Vec<BrokerUrl>,
    /// Which of them is next, or connected to.
    current: usize,
    /// Where a broker said to go instead.
    redirect: Option<BrokerUrl>,
    /// How many redirects in a row were followed.
    hops: u8,
    /// How many rounds of attempts in a row have failed.
    failures: u32,
    /// How many delays there were since the last connection that lasted.
    delays: u32,
    /// How many of them were tried since the last delay.
    tried: usize,
    /// How many connections in a row were closed soon, and for no reason that was told.
    closed: u32,
}

/// As many connections in a row that are closed for no reason are no accident.
const NO_ACCIDENT: u32 = 4;

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Connect to [`Brokers::url`] at once.
    Now,
    /// Connect to it after a delay, up to this long.
    Within(Duration),
    /// Connect to it after a delay, of at least half as long.
    AtLeastHalf(Duration),
    /// Give up.
    Never,
}

impl Brokers {
    pub(super) fn new(url: &str, fallbacks: &[String]) -> Result<Self, UrlError> {
        let mut urls = Vec::from([url.parse()?]);
        for fallback in fallbacks {
            urls.push(fallback.parse()?);
        }
        Ok(Self { urls, current: 0, redirect: None, hops: 0, failures: 0, delays: 0, tried: 0, closed: 0 })
    }

    /// The one to connect to.
    pub(super) fn url(&self) -> &BrokerUrl {
        self.redirect.as_ref().unwrap_or(&self.urls[self.current])
    }

    /// Every one of them may be tried.
    pub(super) const fn start(&mut self) {
        self.tried = 0;
        self.failures = 0;
        self.hops = 0;
    }

    /// The broker took the connection.
    pub(super) const fn connected(&mut self) {
        self.tried = 0;
        self.failures = 0;
    }

    /// The connection lasted: what was before is forgotten.
    pub(super) const fn lasted(&mut self) {
        self.delays = 0;
        self.hops = 0;
        self.closed = 0;
    }

    /// How many connections in a row were closed soon, and for no reason that was told, if the user should know of it
    /// now.
    pub(super) const fn closed_in_a_row(&self) -> Option<u32> {
        if self.closed >= NO_ACCIDENT && self.closed.is_power_of_two() { Some(self.closed) } else { None }
    }

    /// A connection that was made has ended.
    pub(super) fn lost(&mut self, error: &Error, policy: &Reconnect) -> Next {
        self.closed = if is_unexplained(error) { self.closed.saturating_add(1) } else { 0 };
        if self.follow(error, policy.redirects) {
            return Next::Now;
        }
        self.redirect = None;
        self.hops = 0;
        if policy.is_final(error) {
            Next::Never
        } else if self.closed >= NO_ACCIDENT {
            // Two clients with one Client Identifier throw each other out, each as often as it connects.
            self.delays = self.delays.saturating_add(1);
            Next::AtLeastHalf(policy.longest_delay)
        } else {
            self.later(policy)
        }
    }

    /// An attempt has failed.
    pub(super) fn failed(&mut self, error: &Error, policy: &Reconnect) -> Next {
        if self.try_next(error, Some(policy)) {
            return Next::Now;
        }
        self.tried = 0;
        self.hops = 0;
        self.failures = self.failures.saturating_add(1);
        let is_over = policy.attempts.is_some_and(|most| self.failures >= most);
        if is_over || policy.is_final(error) { Next::Never } else { self.later(policy) }
    }

    /// An attempt has failed: continues with the next broker; `false` when all were tried, or no other will do better.
    pub(super) fn try_next(&mut self, error: &Error, policy: Option<&Reconnect>) -> bool {
        if self.follow(error, policy.map_or(0, |policy| policy.redirects)) {
            return true;
        }
        self.redirect = None;
        self.current = (self.current + 1) % self.urls.len();
        self.tried += 1;
        let is_final = policy.map_or_else(|| is_final(error), |policy| policy.is_final(error));
        self.tried < self.urls.len() && !is_final
    }

    fn later(&mut self, policy: &Reconnect) -> Next {
        self.delays = self.delays.saturating_add(1);
        let doubled = policy.first_delay.saturating_mul(1 << (self.delays - 1).min(31));
        Next::Within(doubled.min(policy.longest_delay))
    }

    /// Goes where the broker said to, if it did.
    fn follow(&mut self, error: &Error, redirects: u8) -> bool {
        let Some((reason, reference)) = reference(error).filter(|_| self.hops < redirects) else { return false };
        let Some(url) = self.url().elsewhere(reference) else { return false };
        self.hops += 1;
        if reason.reason_code == ReasonCode::ServerMoved {
            // For good (section 4.11).
            self.urls[self.current] = url;
            self.redirect = None;
        } else {
            self.redirect = Some(url);
        }
        true
    }
}

/// Another server to use, as a broker said when it refused or ended the connection.
fn reference(error: &Error) -> Option<(&Reason, &str)> {
    let (Error::ConnectionRefused(reason) | Error::Disconnected(reason)) = error else { return None };
    let is_redirect = matches!(reason.reason_code, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved);
    // There may be several, separated by spaces; the first is as good as any.
    let first = reason.server_reference.as_deref()?.split(' ').find(|reference| !reference.is_empty())?;
    is_redirect.then_some((reason, first))
}

/// Whether the broker, or what is before it, ended the connection and did not tell why.
fn is_unexplained(error: &Error) -> bool {
    match error {
        Error::ConnectionClosed => true,
        Error::Transport(error) => error.kind == TransportErrorKind::ConnectionReset,
        _ => false,
    }
}

/// Whether it would be no different the next time.
pub(super) fn is_final(error: &Error) -> bool {
    use ReasonCode as Code;
    match error {
        Error::ConnectionRefused(reason) => matches!(
            reason.reason_code,
            Code::MalformedPacket
                | Code::ProtocolError
                | Code::UnsupportedProtocolVersion
                | Code::ClientIdentifierNotValid
                | Code::BadUserNameOrPassword
                | Code::NotAuthorized
                | Code::Banned
                | Code::BadAuthenticationMethod
                | Code::TopicNameInvalid
                | Code::PacketTooLarge
                | Code::PayloadFormatInvalid
                | Code::RetainNotSupported
                | Code::QosNotSupported
        ),
        // Two clients with one Client Identifier would throw each other out for ever.
        Error::Disconnected(reason) => {
            matches!(reason.reason_code, Code::SessionTakenOver | Code::NotAuthorized | Code::Banned)
        }
        #[cfg(feature = "proxy")]
        Error::Transport(TransportError { kind: TransportErrorKind::Proxy(ProxyFailure::NotAuthorized), .. }) => true,
        #[cfg(feature = "ws")]
        Error::Transport(TransportError { kind: TransportErrorKind::WebSocket(failure), .. })
            if matches!(failure, WebSocketFailure::NotAuthorized(_) | WebSocketFailure::Configuration) =>
        {
            true
        }
        // A certificate that is not accepted may be renewed, and a clock that is wrong be set.
        Error::Transport(error) => {
            matches!(error.kind, TransportErrorKind::AccessDenied | TransportErrorKind::Tls(TlsFailure::Configuration))
        }
        Error::Protocol(ProtocolError::UnexpectedSession | ProtocolError::UnknownSession)
        | Error::Call(_)
        | Error::Mqtt3Only
        | Error::Authentication(_) => true,
        // Nobody but the program can change it. Not by `Error::kind`, which would bring the names of all errors into
        // every program.
        Error::Url(_) | Error::Snapshot(_) => true,
        #[cfg(feature = "json")]
        Error::Json(_) => true,
        #[cfg(feature = "store")]
        Error::Store(error) => !matches!(error.kind, StoreErrorKind::Full | StoreErrorKind::Failed),
        #[cfg(feature = "stream")]
        Error::Stream(StreamError::SourceUnreadable(_)) => true,
        _ => false,
    }
}

/// A random part of what a delay may be.
pub(super) fn jitter(longest: Duration, random: u64) -> Duration {
    // Some 2^53 steps are fine enough. Numbers of 64 bits, as a check whether those of 128 overflow is a kilobyte.
    let longest = longest.as_secs().saturating_mul(1_000_000_000).saturating_add(longest.subsec_nanos().into());
    let nanoseconds = (u128::from(longest) * u128::from(random >> 11)) >> 53;
    Duration::from_nanos(nanoseconds as u64)
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::string::ToString;

    use super::*;
    use crate::error::{ErrorKind, SnapshotError, TlsFailure, TransportError};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_only_the_program_can_change_is_final() {
        let mut errors = Vec::new();
        errors.extend([Error::Url(UrlError::Host), Error::Snapshot(SnapshotError::Corrupt), Error::Timeout]);
        #[cfg(feature = "json")]
        errors.push(Error::Json("not JSON".into()));
        #[cfg(feature = "store")]
        errors.extend(
            [
                StoreErrorKind::Full,
                StoreErrorKind::ReadOnly,
                StoreErrorKind::Torn,
                StoreErrorKind::Version,
                StoreErrorKind::InUse,
                StoreErrorKind::OtherClient,
                StoreErrorKind::Failed,
            ]
            .map(|kind| Error::Store(crate::error::StoreError { kind, message: String::new() })),
        );
        #[cfg(feature = "stream")]
        errors.extend(
            [StreamError::SourceUnreadable("closed".into()), StreamError::SourceStalled, StreamError::PayloadLost]
                .map(Error::Stream),
        );
        for error in errors {
            assert_eq!(is_final(&error), error.kind() == ErrorKind::WrongCall, "{error:?}");
        }
    }

    fn brokers(urls: &[&str]) -> Brokers {
        let fallbacks: Vec<String> = urls[1..].iter().map(ToString::to_string).collect();
        Brokers::new(urls[0], &fallbacks).unwrap()
    }

    fn refused(code: ReasonCode, reference: Option<&str>) -> Error {
        let reason = Reason { server_reference: reference.map(Into::into), ..Reason::from(code) };
        Error::ConnectionRefused(Box::new(reason))
    }

    fn host(brokers: &Brokers) -> &str {
        &brokers.url().host
    }

    #[test]
    fn delays_double_up_to_the_longest_and_begin_anew_after_a_connection_that_lasted() {
        let policy = Reconnect { longest_delay: 5 * SECOND, ..Reconnect::default() };
        let mut brokers = brokers(&["mqtt://a"]);
        let mut delays: Vec<Next> = Vec::new();
        for _ in 0..5 {
            delays.push(brokers.failed(&Error::ConnectionClosed, &policy));
        }
        assert_eq!(delays, [1, 2, 4, 5, 5].map(|seconds| Next::Within(seconds * SECOND)));
        // One that is lost at once does not count as a success.
        brokers.connected();
        assert_eq!(brokers.lost(&Error::ConnectionClosed, &policy), Next::Within(5 * SECOND));
        brokers.connected();
        brokers.lasted();
        assert_eq!(brokers.lost(&Error::ConnectionClosed, &policy), Next::Within(SECOND));
    }

    #[test]
    fn number_of_attempts_may_be_bounded() {
        let policy = Reconnect { attempts: Some(2), ..Reconnect::default() };
        let mut brokers = brokers(&["mqtt://a"]);
        assert!(matches!(brokers.lost(&Error::ConnectionClosed, &policy), Next::Within(_)));
        assert!(matches!(brokers.failed(&Error::ConnectTimeout, &policy), Next::Within(_)));
        assert_eq!(brokers.failed(&Error::ConnectTimeout, &policy), Next::Never);
    }

    #[test]
    fn brokers_are_tried_in_turn_with_a_delay_after_each_round() {
        let policy = Reconnect::default();
        let mut brokers = brokers(&["mqtt://a", "mqtt://b", "mqtt://c"]);
        for round in [SECOND, 2 * SECOND] {
            assert_eq!(host(&brokers), "a");
            assert_eq!(brokers.failed(&Error::ConnectTimeout, &policy), Next::Now);
            assert_eq!(host(&brokers), "b");
            assert_eq!(brokers.failed(&Error::ConnectTimeout, &policy), Next::Now);
            assert_eq!(host(&brokers), "c");
            assert_eq!(brokers.failed(&Error::ConnectTimeout, &policy), Next::Within(round));
        }
        // A lost connection is made again to the broker that has the session.
        assert_eq!(brokers.failed(&Error::ConnectTimeout, &policy), Next::Now);
        brokers.connected();
        assert!(matches!(brokers.lost(&Error::ConnectionClosed, &policy), Next::Within(_)));
        assert_eq!(host(&brokers), "b");
    }

    #[test]
    fn redirects_are_followed_up_to_the_limit() {
        let policy = Reconnect { redirects: 2, ..Reconnect::default() };
        let mut brokers = brokers(&["mqtt://user:secret@a"]);
        let elsewhere = refused(ReasonCode::UseAnotherServer, Some("b:2883 c"));
        assert_eq!(brokers.failed(&elsewhere, &policy), Next::Now);
        let url = brokers.url();
        assert_eq!((url.host.as_str(), url.port, url.user_name.as_deref()), ("b", 2883, Some("user")));
        assert_eq!(brokers.failed(&refused(ReasonCode::UseAnotherServer, Some("[::1]")), &policy), Next::Now);
        assert_eq!((host(&brokers), brokers.url().port), ("::1", 1883));
        assert_eq!(brokers.failed(&elsewhere, &policy), Next::Within(SECOND), "that was one too many");
        assert_eq!(host(&brokers), "a");
    }

    #[test]
    fn broker_that_moved_is_found_at_its_new_place_from_then_on() {
        let policy = Reconnect::default();
        let mut brokers = brokers(&["mqtt://a", "mqtt://b"]);
        assert_eq!(brokers.failed(&refused(ReasonCode::ServerMoved, Some("c")), &policy), Next::Now);
        assert_eq!(host(&brokers), "c");
        brokers.connected();
        assert!(matches!(brokers.lost(&Error::ConnectionClosed, &policy), Next::Within(_)));
        assert_eq!(host(&brokers), "c");
    }

    #[test]
    fn temporary_place_is_left_when_the_connection_to_it_ends() {
        let policy = Reconnect::default();
        let mut brokers = brokers(&["mqtt://a"]);
        assert_eq!(brokers.failed(&refused(ReasonCode::UseAnotherServer, Some("b")), &policy), Next::Now);
        brokers.connected();
        assert!(matches!(brokers.lost(&Error::ConnectionClosed, &policy), Next::Within(_)));
        assert_eq!(host(&brokers), "a");
    }

    #[test]
    fn references_that_name_no_server_are_a_failure_like_any_other() {
        let policy = Reconnect::default();
        for reference in [None, Some(""), Some("a b:x"), Some("mqtt://c"), Some("c/path")] {
            let mut brokers = brokers(&["mqtt://a"]);
            let next = brokers.failed(&refused(ReasonCode::ServerMoved, reference), &policy);
            let is_followed = reference == Some("a b:x");
            assert_eq!(next == Next::Now, is_followed, "{reference:?}");
        }
    }

    #[test]
    fn refusals_that_will_not_change_end_it() {
        let policy = Reconnect::default();
        for code in [ReasonCode::BadUserNameOrPassword, ReasonCode::Banned, ReasonCode::ClientIdentifierNotValid] {
            let mut brokers = brokers(&["mqtt://a", "mqtt://b"]);
            assert_eq!(brokers.failed(&refused(code, None), &policy), Next::Never, "{code}");
        }
        let taken_over = Error::Disconnected(Box::new(ReasonCode::SessionTakenOver.into()));
        assert_eq!(brokers(&["mqtt://a"]).lost(&taken_over, &policy), Next::Never);
        let tls = |failure| {
            let error = TransportError { kind: TransportErrorKind::Tls(failure), message: String::new() };
            brokers(&["mqtts://a"]).failed(&Error::Transport(error), &policy)
        };
        assert_eq!(tls(TlsFailure::Configuration), Next::Never);
        for failure in [TlsFailure::Expired, TlsFailure::NotYetValid, TlsFailure::UnknownIssuer] {
            assert_eq!(tls(failure), Next::Within(SECOND), "{failure:?}");
        }
        for session in [ProtocolError::UnknownSession, ProtocolError::UnexpectedSession] {
            assert_eq!(brokers(&["mqtt://a"]).failed(&session.into(), &policy), Next::Never);
        }
        let busy = refused(ReasonCode::ServerBusy, None);
        assert_eq!(brokers(&["mqtt://a"]).failed(&busy, &policy), Next::Within(SECOND));
    }

    #[test]
    fn jitter_is_anything_up_to_the_whole() {
        assert_eq!(jitter(SECOND, 0), Duration::ZERO);
        assert_eq!(jitter(SECOND, 1 << 63), SECOND / 2);
        assert!(jitter(SECOND, u64::MAX) <= SECOND);
        assert!(jitter(SECOND, u64::MAX) > SECOND * 999 / 1000);
        assert!(jitter(Duration::MAX, u64::MAX) > Duration::from_secs(1_000_000));
    }
}
