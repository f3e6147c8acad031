//! Broker URLs: `mqtt://user:password@host:1883`, `mqtts://host:8883`, `ws://host:80/mqtt`, `wss://host:443/mqtt` and
//! `unix:///path`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Where a broker is, and the login for it: `mqtt://[user:password@]host[:port]`, or `mqtts://`. With the feature `ws`
/// also `ws://[user:password@]host[:port][/path]`, or `wss://`. On Unix also `unix:///path`, for a socket of the
/// system.
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
    /// TCP or TLS, with or without WebSocket.
    pub scheme: Scheme,
    /// The host: a name, or an IP address without brackets. For `unix://` the path of the socket.
    pub host: String,
    /// The port. Where the URL has none: 1883, 8883, 80 or 443, by the scheme. 0 for `unix://`.
    pub port: u16,
    /// The User Name, percent-decoded.
    pub user_name: Option<String>,
    /// The Password, percent-decoded. `Debug` does not show it.
    pub password: Option<Vec<u8>>,
    /// The path of the WebSocket, with the query if there is one; `/mqtt` where the URL has none. Percent-encoded, as
    /// in the URL. `Debug` does not show the query, which may have a token.
    #[cfg(feature = "ws")]
    pub path: String,
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
    /// `ws://`: WebSocket over TCP, port 80.
    #[cfg(feature = "ws")]
    Ws,
    /// `wss://`: WebSocket over TLS, port 443.
    #[cfg(feature = "ws")]
    Wss,
    /// `unix://`: a Unix socket. In native builds with `std`, where the system has them.
    #[cfg(all(feature = "std", unix))]
    Unix,
}

impl Scheme {
    /// Whether there is TLS over the network connection.
    #[cfg(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    ))]
    pub(crate) const fn is_encrypted(self) -> bool {
        match self {
            Self::Mqtt => false,
            Self::Mqtts => true,
            #[cfg(feature = "ws")]
            Self::Ws => false,
            #[cfg(feature = "ws")]
            Self::Wss => true,
            #[cfg(all(feature = "std", unix))]
            Self::Unix => false,
        }
    }

    /// Whether there is WebSocket over that.
    #[cfg(feature = "ws")]
    pub(crate) const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
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
    /// It does not begin with `mqtt://` or `mqtts://`, nor with the feature `ws` with `ws://` or `wss://`.
    Scheme,
    /// There is no host, or it has characters that are not allowed in one.
    Host,
    /// The port is not a number from 1 to 65,535.
    Port,
    /// There is a path, a query or a fragment, which have no meaning for MQTT over TCP. For WebSocket: a fragment, or a
    /// character that has to be percent-encoded.
    Path,
    /// The user name or password has a `%` without two hexadecimal digits, or the user name is not UTF-8.
    UserInfo,
    /// `mqtts://` or `wss://` in a build without TLS: use the feature `tls`.
    TlsNotSupported,
    /// `ws://` or `wss://` in a build without WebSocket: use the feature `ws`.
    WebSocketNotSupported,
    /// The URL of the proxy is not `http://[user:password@]host[:port]`, nor the same with `socks5://` or `socks5h://`;
    /// or its login is longer than SOCKS takes, 255 bytes each.
    #[cfg(feature = "proxy")]
    Proxy,
}

impl core::str::FromStr for BrokerUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once(':').ok_or(UrlError::Scheme)?;
        let rest = rest.strip_prefix("//").ok_or(UrlError::Scheme)?;
        #[cfg(all(feature = "std", unix))]
        if scheme.eq_ignore_ascii_case("unix") {
            return Self::of_socket(rest);
        }
        let (scheme, default_port) = if scheme.eq_ignore_ascii_case("mqtt") {
            (Scheme::Mqtt, 1883)
        } else if scheme.eq_ignore_ascii_case("mqtts") {
            (Scheme::Mqtts, 8883)
        } else if scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss") {
            #[cfg(not(feature = "ws"))]
            return Err(UrlError::WebSocketNotSupported);
            #[cfg(feature = "ws")]
            if scheme.len() == 2 { (Scheme::Ws, 80) } else { (Scheme::Wss, 443) }
        } else {
            return Err(UrlError::Scheme);
        };
        #[cfg(feature = "ws")]
        let (rest, path) = if scheme.is_websocket() { split_path(rest)? } else { (rest, String::new()) };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let Place { host, port, user_name, password } = Place::parse(authority)?;
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or(default_port),
            user_name,
            password,
            #[cfg(feature = "ws")]
            path,
        })
    }
}

/// What is between a scheme and a path.
struct Place {
    host: String,
    port: Option<u16>,
    user_name: Option<String>,
    password: Option<Vec<u8>>,
}

impl Place {
    fn parse(authority: &str) -> Result<Self, UrlError> {
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
                Some(port.parse().ok().filter(|&port: &u16| port != 0).ok_or(UrlError::Port)?)
            }
            Some(_) => return Err(UrlError::Port),
            None => None,
        };
        Ok(Self { host: host.to_owned(), port, user_name, password })
    }
}

/// Where a proxy is, what it speaks, and the login for it.
#[cfg(feature = "proxy")]
#[derive(Clone)]
#[cfg_attr(
    not(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )),
    allow(dead_code, reason = "there is no transport that could use it")
)]
pub(crate) struct ProxyUrl {
    pub(crate) scheme: ProxyScheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Option<(String, Vec<u8>)>,
}

/// What a proxy speaks.
#[cfg(feature = "proxy")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(
        feature = "std",
        all(feature = "wasi", target_os = "wasi", target_env = "p2"),
        all(feature = "component", target_arch = "wasm32")
    )),
    allow(dead_code, reason = "there is no transport that could use it")
)]
pub(crate) enum ProxyScheme {
    Http,
    Socks5,
}

#[cfg(feature = "proxy")]
impl core::str::FromStr for ProxyUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        // The longest User Name and Password of SOCKS (RFC 1929).
        const MOST: usize = 255;
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Proxy)?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyScheme::Http, 80),
            "socks5" | "socks5h" => (ProxyScheme::Socks5, 1080),
            _ => return Err(UrlError::Proxy),
        };
        let place = Place::parse(rest.strip_suffix('/').unwrap_or(rest)).map_err(|_| UrlError::Proxy)?;
        let Place { host, port, user_name, password } = place;
        let login = user_name.map(|user_name| (user_name, password.unwrap_or_default()));
        if scheme == ProxyScheme::Socks5
            && let Some((user_name, password)) = &login
            && (user_name.len() > MOST || password.len() > MOST)
        {
            return Err(UrlError::Proxy);
        }
        Ok(Self { scheme, host, port: port.unwrap_or(default_port), login })
    }
}

/// Without the login.
#[cfg(feature = "proxy")]
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            ProxyScheme::Http => "http",
            ProxyScheme::Socks5 => "socks5",
        };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

#[cfg(feature = "proxy")]
impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BrokerUrl {
    /// What is behind `unix://`: the path of a socket, from the root on, percent-encoded.
    #[cfg(all(feature = "std", unix))]
    fn of_socket(path: &str) -> Result<Self, UrlError> {
        if path.contains(['?', '#']) {
            return Err(UrlError::Path);
        }
        let host = percent_decode(path).ok().and_then(|path| String::from_utf8(path).ok()).ok_or(UrlError::Path)?;
        // Without a login: the file says who may connect.
        if !host.starts_with('/') || host.contains('\0') {
            return Err(UrlError::Host);
        }
        Ok(Self {
            scheme: Scheme::Unix,
            host,
            port: 0,
            user_name: None,
            password: None,
            #[cfg(feature = "ws")]
            path: String::new(),
        })
    }

    /// The URL of another server that this one refers to, as `host`, `host:port` or `[address]:port` (section 4.11):
    /// reached and logged in to in the same way.
    pub(crate) fn elsewhere(&self, reference: &str) -> Option<Self> {
        let scheme = match self.scheme {
            Scheme::Mqtt => "mqtt://",
            Scheme::Mqtts => "mqtts://",
            #[cfg(feature = "ws")]
            Scheme::Ws => "ws://",
            #[cfg(feature = "ws")]
            Scheme::Wss => "wss://",
            // Another server is another machine.
            #[cfg(all(feature = "std", unix))]
            Scheme::Unix => "mqtt://",
        };
        #[cfg(not(feature = "ws"))]
        let no_place = '@';
        #[cfg(feature = "ws")]
        let no_place = ['@', '/', '?'];
        // Nothing but a place: neither a scheme nor a login of its own.
        let url: Self = alloc::format!("{scheme}{reference}").parse().ok().filter(|_| !reference.contains(no_place))?;
        Some(Self {
            user_name: self.user_name.clone(),
            password: self.password.clone(),
            #[cfg(feature = "ws")]
            path: self.path.clone(),
            ..url
        })
    }

    /// Fails for a URL that wants TLS or WebSocket: a transport of bare TCP must not take its place.
    ///
    /// # Errors
    /// [`UrlError::TlsNotSupported`]; [`UrlError::WebSocketNotSupported`]; [`UrlError::Scheme`] for `unix://`.
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
            #[cfg(feature = "ws")]
            Scheme::Ws | Scheme::Wss => Err(UrlError::WebSocketNotSupported),
            #[cfg(all(feature = "std", unix))]
            Scheme::Unix => Err(UrlError::Scheme),
        }
    }
}

/// Splits what is behind `ws://` before the path, and adds the path where there is none.
#[cfg(feature = "ws")]
fn split_path(rest: &str) -> Result<(&str, String), UrlError> {
    let (place, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // Those that a URL may have; the rest would end the line or the word of the request.
    let is_allowed =
        |c: char| c.is_ascii_graphic() && !matches!(c, '#' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '}' | '|');
    if !path.chars().all(is_allowed) {
        return Err(UrlError::Path);
    }
    Ok((place, if path.starts_with('/') { path.to_owned() } else { alloc::format!("/mqtt{path}") }))
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
        let mut fields = f.debug_struct("BrokerUrl");
        fields
            .field("scheme", &self.scheme)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "(hidden)"));
        #[cfg(feature = "ws")]
        fields.field("path", &self.path.split_once('?').map_or(self.path.as_str(), |(path, _)| path));
        fields.finish()
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(all(not(feature = "ws"), not(all(feature = "std", unix))))]
            Self::Scheme => "a broker URL starts with mqtt:// or mqtts://",
            #[cfg(all(not(feature = "ws"), feature = "std", unix))]
            Self::Scheme => "a broker URL starts with mqtt://, mqtts:// or unix://",
            #[cfg(all(feature = "ws", not(all(feature = "std", unix))))]
            Self::Scheme => "a broker URL starts with mqtt://, mqtts://, ws:// or wss://",
            #[cfg(all(feature = "ws", feature = "std", unix))]
            Self::Scheme => "a broker URL starts with mqtt://, mqtts://, ws://, wss:// or unix://",
            Self::Host => "the URL has no valid host: write mqtt://host:port, or mqtt://[address]:port for IPv6",
            Self::Port => "the URL's port must be a number from 1 to 65535",
            #[cfg(not(feature = "ws"))]
            Self::Path => "a broker URL must not have a path, query or fragment",
            #[cfg(feature = "ws")]
            Self::Path => {
                "a broker URL must not have a path, query or fragment; with ws:// and wss:// a path and a query, with \
                 other characters percent-encoded, but no fragment"
            }
            Self::UserInfo => {
                "the user name or password in the URL is not valid percent-encoding: write % as %25, and @ as %40"
            }
            #[cfg(feature = "component-p3")]
            Self::WebSocketNotSupported => {
                "the components for WASI 0.3 have no WebSocket: use the component mqtt-ws.wasm or mqtt-wss.wasm"
            }
            #[cfg(not(feature = "component-p3"))]
            Self::WebSocketNotSupported => {
                "this build has no WebSocket: use the component mqtt-ws.wasm or mqtt-wss.wasm, or build with the feature \
                 ws"
            }
            #[cfg(feature = "proxy")]
            Self::Proxy => {
                "the proxy must be http://[user:password@]host[:port] or socks5://[user:password@]host[:port], and a \
                 login for SOCKS has at most 255 bytes each"
            }
            #[cfg(feature = "component-p3")]
            Self::TlsNotSupported => "this component has no TLS: use the component mqtt-p3-tls.wasm",
            #[cfg(not(feature = "component-p3"))]
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

    #[cfg(all(feature = "std", unix))]
    #[test]
    fn unix_sockets_have_a_path_and_nothing_else() {
        let url: BrokerUrl = "unix:///run/my%20broker/mqtt.sock".parse().unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Unix, "/run/my broker/mqtt.sock", 0));
        assert_eq!(url.require_plain(), Err(UrlError::Scheme));
        assert_eq!(url.elsewhere("other:2883").map(|url| (url.scheme, url.port)), Some((Scheme::Mqtt, 2883)));
        for (text, error) in [
            ("unix:/run/mqtt.sock", UrlError::Scheme),
            ("unix://", UrlError::Host),
            ("unix://run/mqtt.sock", UrlError::Host),
            ("unix://user@/run/mqtt.sock", UrlError::Host),
            ("unix:///run/%00", UrlError::Host),
            ("unix:///run/mqtt.sock?x", UrlError::Path),
            ("unix:///run/%FF", UrlError::Path),
            ("unix:///run/%4", UrlError::Path),
        ] {
            assert_eq!(text.parse::<BrokerUrl>(), Err(error), "{text}");
        }
    }

    #[cfg(feature = "ws")]
    #[test]
    fn websocket_urls_have_a_path() {
        for (text, scheme, host, port, path) in [
            ("ws://broker.local", Scheme::Ws, "broker.local", 80, "/mqtt"),
            ("wss://broker.local", Scheme::Wss, "broker.local", 443, "/mqtt"),
            ("WSS://broker.local/", Scheme::Wss, "broker.local", 443, "/"),
            ("ws://[::1]:8080/ws/a%20b?x=@:/", Scheme::Ws, "::1", 8080, "/ws/a%20b?x=@:/"),
            ("ws://h?token=secret", Scheme::Ws, "h", 80, "/mqtt?token=secret"),
        ] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!((url.scheme, url.host.as_str(), url.port, url.path.as_str()), (scheme, host, port, path));
            assert_eq!(url.user_name, None, "an @ of the path is none of a login: {text}");
            assert!(!alloc::format!("{url:?}").contains("secret"));
            assert_eq!(url.require_plain(), Err(UrlError::WebSocketNotSupported));
        }
        let url: BrokerUrl = "wss://u:p%40@h/path".parse().unwrap();
        assert_eq!((url.user_name.as_deref(), url.password.as_deref()), (Some("u"), Some(&b"p@"[..])));
        let other = url.elsewhere("other:444").unwrap();
        assert_eq!((other.host.as_str(), other.port, other.path.as_str()), ("other", 444, "/path"));
        assert_eq!(url.elsewhere("other/elsewhere"), None);
        for text in ["ws://h/a b", "ws://h/#part", "ws://h/\r\nX: y", "ws://h/\u{e9}", "ws://h/<"] {
            assert_eq!(text.parse::<BrokerUrl>(), Err(UrlError::Path), "{text}");
        }
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn proxy_urls_have_a_scheme_of_their_own_and_hide_their_login() {
        for (text, scheme, place, login) in [
            ("http://proxy", ProxyScheme::Http, "http://proxy:80", None),
            ("HTTP://u:p%40@proxy:3128/", ProxyScheme::Http, "http://proxy:3128", Some(("u", "p@"))),
            ("socks5://[::1]", ProxyScheme::Socks5, "socks5://[::1]:1080", None),
            ("socks5h://u@h:1", ProxyScheme::Socks5, "socks5://h:1", Some(("u", ""))),
        ] {
            let url: ProxyUrl = text.parse().unwrap();
            assert_eq!((url.scheme, alloc::format!("{url:?}").as_str()), (scheme, place));
            let has = url.login.as_ref().map(|(name, password)| (name.as_str(), password.as_slice()));
            assert_eq!(has, login.map(|(name, password): (&str, &str)| (name, password.as_bytes())));
        }
        let long = alloc::format!("socks5://u:{}@h", "x".repeat(256));
        for text in ["", "proxy:3128", "https://proxy", "socks4://h", "http://", "http://h/path", "http://h:0", &long] {
            assert_eq!(text.parse::<ProxyUrl>().map(drop), Err(UrlError::Proxy), "{text}");
        }
    }

    #[cfg(not(feature = "ws"))]
    #[test]
    fn websocket_needs_a_feature() {
        for url in ["ws://h", "wss://h/mqtt"] {
            assert_eq!(url.parse::<BrokerUrl>(), Err(UrlError::WebSocketNotSupported));
        }
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
