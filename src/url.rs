//! Broker URLs: `mqtt://user:password@host:1883` and `mqtts://host:8883`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Where a broker is, and the login for it: `mqtt://[user:password@]host[:port]`, or `mqtts://`.
///
/// ```
/// use mqtt_wasi::{BrokerUrl, Scheme};
///
/// let url: BrokerUrl = "mqtt://sensor:p%40ss@[::1]".parse()?;
/// assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Mqtt, "::1", 1883));
/// assert_eq!(url.user_name.as_deref(), Some("sensor"));
/// assert_eq!(url.password.as_deref(), Some(b"p@ss".as_slice()));
/// # Ok::<(), mqtt_wasi::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerUrl {
    /// TCP or TLS.
    pub scheme: Scheme,
    /// The host: a name, or an IP address without brackets.
    pub host: String,
    /// The port; 1883 or 8883 where the URL has none.
    pub port: u16,
    /// The User Name, percent-decoded.
    pub user_name: Option<String>,
    /// The Password, percent-decoded. `Debug` does not show it.
    pub password: Option<Vec<u8>>,
}

/// How to reach a broker.
///
/// ```
/// use mqtt_wasi::{BrokerUrl, Scheme};
///
/// let url: BrokerUrl = "mqtts://broker.local".parse()?;
/// assert_eq!((url.scheme, url.port), (Scheme::Mqtts, 8883));
/// # Ok::<(), mqtt_wasi::UrlError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheme {
    /// `mqtt://`: TCP, port 1883.
    Mqtt,
    /// `mqtts://`: TLS over TCP, port 8883.
    Mqtts,
}

/// A URL that is not one of a broker that this build can connect to.
///
/// ```
/// use mqtt_wasi::{BrokerUrl, UrlError};
///
/// assert_eq!("http://broker.local".parse::<BrokerUrl>(), Err(UrlError::Scheme));
/// assert_eq!("mqtt://broker.local:0".parse::<BrokerUrl>(), Err(UrlError::Port));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `mqtt://` or `mqtts://`.
    Scheme,
    /// There is no host, or it has characters that are not allowed in one.
    Host,
    /// The port is not a number from 1 to 65,535.
    Port,
    /// There is a path, a query or a fragment, which have no meaning for MQTT over TCP.
    Path,
    /// The user name or password has a `%` without two hexadecimal digits, or the user name is not UTF-8.
    UserInfo,
    /// `mqtts://` in a build without TLS: use the feature `tls`.
    TlsNotSupported,
    /// `ws://` or `wss://`, which this version does not support.
    WebSocketNotSupported,
}

impl core::str::FromStr for BrokerUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(UrlError::Scheme)?;
        let rest = rest.strip_prefix("//").ok_or(UrlError::Scheme)?;
        let (scheme, default_port) = if scheme.eq_ignore_ascii_case("mqtt") {
            (Scheme::Mqtt, 1883)
        } else if scheme.eq_ignore_ascii_case("mqtts") {
            (Scheme::Mqtts, 8883)
        } else if scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss") {
            return Err(UrlError::WebSocketNotSupported);
        } else {
            return Err(UrlError::Scheme);
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (user_info, place) = match authority.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, authority),
        };
        if place.contains(['/', '?', '#']) {
            return Err(UrlError::Path);
        }
        let (host, port) = split_port(place)?;
        let (user_name, password) = match user_info {
            None => (None, None),
            Some(user_info) => {
                let (name, password) = match user_info.split_once(':') {
                    Some((name, password)) => (name, Some(percent_decode(password)?)),
                    None => (user_info, None),
                };
                (Some(String::from_utf8(percent_decode(name)?).map_err(|_| UrlError::UserInfo)?), password)
            }
        };
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|&port: &u16| port != 0).ok_or(UrlError::Port)?
            }
            Some(_) => return Err(UrlError::Port),
            None => default_port,
        };
        Ok(Self { scheme, host: host.to_owned(), port, user_name, password })
    }
}

impl BrokerUrl {
    /// The URL of another server that this one refers to, as `host`, `host:port` or `[address]:port` (section 4.11):
    /// reached and logged in to in the same way.
    pub(crate) fn elsewhere(&self, reference: &str) -> Option<Self> {
        let scheme = match self.scheme {
            Scheme::Mqtt => "mqtt://",
            Scheme::Mqtts => "mqtts://",
        };
        // Nothing but a place: neither a scheme nor a login of its own.
        let url: Self = alloc::format!("{scheme}{reference}").parse().ok().filter(|_| !reference.contains('@'))?;
        Some(Self { user_name: self.user_name.clone(), password: self.password.clone(), ..url })
    }

    /// Fails for a URL that wants TLS: a transport without TLS must not take its place.
    ///
    /// # Errors
    /// [`UrlError::TlsNotSupported`].
    ///
    /// ```
    /// use mqtt_wasi::{BrokerUrl, UrlError};
    ///
    /// assert_eq!("mqtt://broker.local".parse::<BrokerUrl>()?.require_plain(), Ok(()));
    /// assert_eq!("mqtts://broker.local".parse::<BrokerUrl>()?.require_plain(), Err(UrlError::TlsNotSupported));
    /// # Ok::<(), UrlError>(())
    /// ```
    pub const fn require_plain(&self) -> Result<(), UrlError> {
        match self.scheme {
            Scheme::Mqtt => Ok(()),
            Scheme::Mqtts => Err(UrlError::TlsNotSupported),
        }
    }
}

/// Splits `host`, `host:port`, `[ipv6]` and `[ipv6]:port`.
fn split_port(place: &str) -> Result<(&str, Option<&str>), UrlError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
            host.parse::<core::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':').ok_or(UrlError::Host)?)),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let is_host_character = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_host_character) {
        return Err(UrlError::Host);
    }
    Ok((host, port))
}

fn percent_decode(text: &str) -> Result<Vec<u8>, UrlError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or(UrlError::UserInfo);
                (digit()? << 4 | digit()?) as u8
            }
            _ => byte,
        });
    }
    Ok(decoded)
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerUrl")
            .field("scheme", &self.scheme)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .finish()
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a broker URL starts with mqtt:// or mqtts://",
            Self::Host => "the URL has no valid host: write mqtt://host:port, or mqtt://[address]:port for IPv6",
            Self::Port => "the URL's port must be a number from 1 to 65535",
            Self::Path => "a broker URL must not have a path, query or fragment",
            Self::UserInfo => {
                "the user name or password in the URL is not valid percent-encoding: write % as %25, and @ as %40"
            }
            Self::WebSocketNotSupported => {
                "WebSocket is not supported: use mqtts:// in place of wss://, and mqtt:// in place of ws://"
            }
            Self::TlsNotSupported => {
                "this build has no TLS: use the component mqtt-tls.wasm, or build with the feature tls"
            }
        })
    }
}

impl core::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_host_port_and_login() {
        let url: BrokerUrl = "MQTT://broker.local/".parse().unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Mqtt, "broker.local", 1883));
        let url: BrokerUrl = "mqtts://u:@h".parse().unwrap();
        assert_eq!((url.scheme, url.port, url.password), (Scheme::Mqtts, 8883, Some(Vec::new())));
        let url: BrokerUrl = "mqtt://a%3Ab:c:d@127.0.0.1:2883".parse().unwrap();
        assert_eq!((url.user_name.as_deref(), url.password.as_deref()), (Some("a:b"), Some(&b"c:d"[..])));
        assert!(!alloc::format!("{:?}", "mqtt://u:secret@h".parse::<BrokerUrl>().unwrap()).contains("secret"));
    }

    #[test]
    fn bad_urls_say_what_is_wrong() {
        for (url, error) in [
            ("", UrlError::Scheme),
            ("localhost:1883", UrlError::Scheme),
            ("http://h", UrlError::Scheme),
            ("mqtt://", UrlError::Host),
            ("mqtt://:1883", UrlError::Host),
            ("mqtt://a b", UrlError::Host),
            ("mqtt://[::1", UrlError::Host),
            ("mqtt://[nonsense]:1", UrlError::Host),
            ("mqtt://::1", UrlError::Host),
            ("mqtt://h:", UrlError::Port),
            ("mqtt://h:0", UrlError::Port),
            ("mqtt://h:65536", UrlError::Port),
            ("mqtt://h:1x", UrlError::Port),
            ("mqtt://h/topic", UrlError::Path),
            ("mqtt://h?x=1", UrlError::Path),
            ("mqtt://u%zz@h", UrlError::UserInfo),
            ("mqtt://%ff@h", UrlError::UserInfo),
        ] {
            assert_eq!(url.parse::<BrokerUrl>(), Err(error), "{url}");
        }
    }
}
