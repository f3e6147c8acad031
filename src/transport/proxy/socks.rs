//! SOCKS 5, from the client's side (RFC 1928), with User Name and Password (RFC 1929). Sans-IO. Reads no byte more than
//! the proxy's answers have.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::error::ProxyFailure;
use crate::url::{BrokerUrl, ProxyUrl};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xFF;

/// The version of the login itself.
const LOGIN_VERSION: u8 = 1;

const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The longest answer: with a name of 255 bytes.
const LONGEST: usize = 4 + 1 + 255 + 2;

pub(super) struct Socks {
    step: Step,
    login: Option<Vec<u8>>,
    request: Vec<u8>,
    incoming: [u8; LONGEST],
    len: usize,
    /// How long the answer is, as far as that is known.
    wanted: usize,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Method,
    Login,
    Connected,
    Done,
}

type Refusal = (ProxyFailure, String);

impl Socks {
    /// Asks for a connection to this broker; what to send first.
    pub(super) fn begin(proxy: &ProxyUrl, broker: &BrokerUrl) -> (Self, Vec<u8>) {
        let login = proxy.login.as_ref().map(|(user_name, password)| {
            // Neither is longer: the URL was checked.
            let (name_len, password_len) = (user_name.len() as u8, password.len() as u8);
            [&[LOGIN_VERSION, name_len], user_name.as_bytes(), &[password_len], password].concat()
        });
        let methods: &[u8] = if login.is_some() { &[VERSION, 2, NO_LOGIN, LOGIN] } else { &[VERSION, 1, NO_LOGIN] };
        let socks =
            Self { step: Step::Method, login, request: request(broker), incoming: [0; LONGEST], len: 0, wanted: 2 };
        (socks, methods.to_vec())
    }

    /// Where the next bytes go.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.incoming[self.len..self.wanted]
    }

    pub(super) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// As many bytes have come; what to send because of that.
    pub(super) fn received(&mut self, len: usize) -> Result<Vec<u8>, Refusal> {
        self.len += len;
        if self.step == Step::Connected && self.len >= 2 && self.incoming[1] != 0 {
            // What follows is said about nothing, and may not come.
            return self.connected().map(|()| Vec::new());
        }
        if self.len < self.wanted {
            return Ok(Vec::new());
        }
        match self.step {
            Step::Method => self.method(),
            Step::Login if self.incoming[1] == 0 => Ok(self.ask()),
            Step::Login => Err((ProxyFailure::NotAuthorized, "it does not accept the login".into())),
            Step::Connected => self.connected().map(|()| Vec::new()),
            Step::Done => Ok(Vec::new()),
        }
    }

    /// The proxy says how to log in.
    fn method(&mut self) -> Result<Vec<u8>, Refusal> {
        let [version, method] = [self.incoming[0], self.incoming[1]];
        match (version, method, &self.login) {
            (VERSION, NO_LOGIN, _) => Ok(self.ask()),
            (VERSION, LOGIN, Some(login)) => {
                let login = login.clone();
                self.wait_for(Step::Login, 2);
                Ok(login)
            }
            (VERSION, NO_METHOD, None) => Err((ProxyFailure::NotAuthorized, "it wants a login".into())),
            (VERSION, NO_METHOD, Some(_)) => {
                Err((ProxyFailure::NotAuthorized, "it wants another kind of login".into()))
            }
            (VERSION, other, _) => {
                Err((ProxyFailure::InvalidAnswer, format!("it chose the login {other}, which was not offered")))
            }
            _ => Err((ProxyFailure::InvalidAnswer, "it does not speak SOCKS 5".into())),
        }
    }

    fn ask(&mut self) -> Vec<u8> {
        self.wait_for(Step::Connected, 5);
        core::mem::take(&mut self.request)
    }

    fn wait_for(&mut self, step: Step, wanted: usize) {
        (self.step, self.len, self.wanted) = (step, 0, wanted);
    }

    /// The proxy says whether there is a connection, and from where, which does not matter.
    fn connected(&mut self) -> Result<(), Refusal> {
        let [version, reply, _, kind, first, ..] = self.incoming;
        if version != VERSION {
            return Err((ProxyFailure::InvalidAnswer, "it does not speak SOCKS 5".into()));
        }
        if reply != 0 {
            return Err((ProxyFailure::Reply(reply), format!("SOCKS reply {reply}{}", words(reply))));
        }
        let wanted = match kind {
            IPV4 => 4 + 4 + 2,
            IPV6 => 4 + 16 + 2,
            NAME => 4 + 1 + usize::from(first) + 2,
            _ => return Err((ProxyFailure::InvalidAnswer, format!("its answer has an address of the kind {kind}"))),
        };
        if self.len < wanted {
            self.wanted = wanted;
        } else {
            self.step = Step::Done;
        }
        Ok(())
    }
}

fn request(broker: &BrokerUrl) -> Vec<u8> {
    let mut request = [VERSION, CONNECT, 0].to_vec();
    match broker.host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Err(_) => {
            // A longer one has no address, and is refused before: see `Layers::prepare`.
            let name = &broker.host.as_bytes()[..broker.host.len().min(255)];
            request.extend([NAME, name.len() as u8]);
            request.extend(name);
        }
    }
    request.extend(broker.port.to_be_bytes());
    request
}

/// What a reply means (RFC 1928, section 6).
const fn words(reply: u8) -> &'static str {
    match reply {
        1 => ", general failure",
        2 => ", its rules do not allow the connection",
        3 => ", the network is unreachable",
        4 => ", the host is unreachable",
        5 => ", the connection was refused",
        6 => ", the time to live has expired",
        7 => ", it does not support CONNECT",
        8 => ", it does not support this kind of address",
        _ => "",
    }
}
