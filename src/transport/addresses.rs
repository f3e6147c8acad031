//! Which address of a host is tried next, and for how long: one rule for every transport. Sans-IO.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::error::{TransportError, TransportErrorKind};
use crate::time::Instant;

/// As many addresses of a host are tried.
const MOST_ADDRESSES: usize = 16;

/// The addresses of a host that are left to try: of each family in turn, beginning with the one that the resolver
/// prefers. Each has its share of the time that is left, so that one that does not answer leaves the others theirs.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The next one last.
    left: Vec<SocketAddr>,
    until: Instant,
    /// Why the last one failed.
    kind: TransportErrorKind,
    /// What became of each.
    failures: String,
}

impl Addresses {
    /// These addresses, in the resolver's order, to be tried until then.
    pub(crate) fn new(resolved: impl IntoIterator<Item = SocketAddr>, until: Instant) -> Self {
        let mut preferred = Vec::new();
        let mut others = Vec::new();
        for address in resolved {
            let is_first_family =
                preferred.first().is_none_or(|first: &SocketAddr| first.is_ipv6() == address.is_ipv6());
            let family = if is_first_family { &mut preferred } else { &mut others };
            if !family.contains(&address) {
                family.push(address);
            }
        }
        let mut left = Vec::new();
        for place in 0..MOST_ADDRESSES {
            left.extend([preferred.get(place), others.get(place)].into_iter().flatten());
        }
        left.truncate(MOST_ADDRESSES);
        left.reverse();
        Self { left, until, kind: TransportErrorKind::UnknownHost, failures: String::new() }
    }

    /// The same, to be tried beside each other: IPv6 first (RFC 8305, section 4).
    #[cfg(all(feature = "tokio", not(target_family = "wasm")))]
    pub(crate) fn to_race(resolved: impl IntoIterator<Item = SocketAddr>, until: Instant) -> Self {
        let (mut addresses, others): (alloc::vec::Vec<_>, alloc::vec::Vec<_>) =
            resolved.into_iter().partition(SocketAddr::is_ipv6);
        addresses.extend(others);
        Self::new(addresses, until)
    }

    /// The next one to try beside those before it.
    #[cfg(all(feature = "tokio", not(target_family = "wasm")))]
    pub(crate) fn start_next(&mut self) -> Option<SocketAddr> {
        self.left.pop()
    }

    /// The one to try, where there is no other.
    #[cfg(all(feature = "tokio", not(target_family = "wasm")))]
    pub(crate) fn take_only(&mut self) -> Option<SocketAddr> {
        if self.left.len() == 1 { self.left.pop() } else { None }
    }

    /// Whether there is another one.
    #[cfg(all(feature = "tokio", not(target_family = "wasm")))]
    pub(crate) fn has_next(&self) -> bool {
        !self.left.is_empty()
    }

    /// The next one, and until when to try it; `None` when there is none, or no time.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(SocketAddr, Instant)> {
        let left = u32::try_from(self.left.len()).unwrap_or(u32::MAX);
        let address = self.left.pop()?;
        let remaining = self.until.saturating_duration_since(now);
        if remaining.is_zero() && !self.failures.is_empty() {
            self.failed(address, &TransportErrorKind::ConnectTimeout.because("not tried, no time was left"));
            return None;
        }
        Some((address, now + remaining / left))
    }

    /// One of them has failed.
    pub(crate) fn failed(&mut self, address: SocketAddr, error: &TransportError) {
        self.kind = error.kind;
        let separator = if self.failures.is_empty() { "" } else { "; " };
        let why = if error.message.is_empty() { error.kind.text() } else { &error.message };
        let port = address.port();
        self.failures.push_str(&match address.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                format!("{separator}{a}.{b}.{c}.{d}:{port}: {why}")
            }
            // The standard library's shorter way to write it takes more room than all else here.
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h] = ip.segments();
                format!("{separator}[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x}:{g:x}:{h:x}]:{port}: {why}")
            }
        });
    }

    /// All of them have failed.
    pub(crate) fn into_error(self) -> TransportError {
        if self.failures.is_empty() {
            return TransportErrorKind::UnknownHost.because("it has no address");
        }
        TransportError { kind: self.kind, message: self.failures }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn addresses(all: &[&str], until: Instant) -> Addresses {
        Addresses::new(all.iter().map(|address| address.parse().unwrap()), until)
    }

    #[test]
    fn families_take_turns_beginning_with_the_preferred_one() {
        let mut addresses =
            addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"], Instant::MAX);
        let order: Vec<_> = core::iter::from_fn(|| addresses.next(Instant::ZERO)).map(|(address, _)| address).collect();
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"];
        assert_eq!(order, expected.map(|address| address.parse().unwrap()));
    }

    #[test]
    fn each_has_its_share_of_the_time_that_is_left() {
        let start = Instant::ZERO;
        let mut addresses = addresses(&["[::1]:1", "1.1.1.1:1", "2.2.2.2:1"], start + 9 * SECOND);
        assert_eq!(addresses.next(start).map(|(_, until)| until), Some(start + 3 * SECOND));
        // What one does not need is there for the others.
        assert_eq!(addresses.next(start + SECOND).map(|(_, until)| until), Some(start + 5 * SECOND));
        assert_eq!(addresses.next(start + 5 * SECOND).map(|(_, until)| until), Some(start + 9 * SECOND));
        assert_eq!(addresses.next(start + 9 * SECOND), None);
    }

    #[test]
    fn error_names_every_address_and_what_became_of_it() {
        let start = Instant::ZERO;
        let mut addresses = addresses(&["[::1]:1", "1.1.1.1:1", "2.2.2.2:1"], start + SECOND);
        let (address, _) = addresses.next(start).unwrap();
        addresses.failed(address, &TransportErrorKind::ConnectionRefused.because("refused"));
        let (address, _) = addresses.next(start).unwrap();
        addresses.failed(address, &TransportErrorKind::ConnectTimeout.because("no answer"));
        assert_eq!(addresses.next(start + SECOND), None);
        let error = addresses.into_error();
        assert_eq!(error.kind, TransportErrorKind::ConnectTimeout);
        let expected = "[0:0:0:0:0:0:0:1]:1: refused; 1.1.1.1:1: no answer; 2.2.2.2:1: not tried, no time was left";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn host_without_an_address_is_unknown() {
        let mut none = addresses(&[], Instant::MAX);
        assert_eq!(none.next(Instant::ZERO), None);
        assert_eq!(none.into_error().kind, TransportErrorKind::UnknownHost);
    }

    #[test]
    fn no_more_than_some_are_tried() {
        let many = (0..100).map(|number| SocketAddr::from(([127, 0, 0, number], 1)));
        let mut addresses = Addresses::new(many, Instant::MAX);
        assert_eq!(core::iter::from_fn(|| addresses.next(Instant::ZERO)).count(), MOST_ADDRESSES);
    }
}
