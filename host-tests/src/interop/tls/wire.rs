//! What a server said in a TLS handshake, read off the wire: the part of it that is not encrypted.

/// The `random` of a ServerHello that is a HelloRetryRequest (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// Types of records.
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Types of handshake messages.
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// Extensions of ServerHello.
const PRE_SHARED_KEY: u16 = 41;
const SUPPORTED_VERSIONS: u16 = 43;

/// TLS 1.3, as ServerHello names it.
const TLS_1_3: u16 = 0x0304;

/// What a server said over one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handshake {
    /// Whether it is TLS 1.3, and not 1.2.
    pub(super) is_1_3: bool,
    /// Whether the client had to say another ClientHello.
    pub(super) is_retried: bool,
    /// Whether it resumes an earlier TLS session.
    pub(super) is_resumed: bool,
    /// In how many records data came.
    pub(super) records: usize,
}

impl Handshake {
    /// Reads all that a server said; `None` before it has said ServerHello.
    pub(super) fn read(wire: &[u8]) -> Option<Self> {
        let mut plain = Vec::new();
        let (mut is_plain, mut records) = (true, 0);
        for (kind, body) in Records(wire) {
            match kind {
                HANDSHAKE if is_plain => plain.extend_from_slice(body),
                APPLICATION_DATA => (is_plain, records) = (false, records + 1),
                // In TLS 1.3 it comes before the rest of the handshake and means nothing.
                CHANGE_CIPHER_SPEC => is_plain = is_plain && Hello::last(&plain).is_some_and(|hello| hello.is_retry),
                _ => {}
            }
        }
        let hello = Hello::last(&plain)?;
        let has_certificate = Messages(&plain).any(|(kind, _)| kind == CERTIFICATE);
        let is_retried = Messages(&plain).filter_map(Hello::of).any(|hello| hello.is_retry);
        let is_resumed = if hello.is_1_3 { hello.has_psk } else { !has_certificate };
        Some(Self { is_1_3: hello.is_1_3, is_retried, is_resumed, records })
    }
}

/// What matters of a ServerHello.
struct Hello {
    is_retry: bool,
    is_1_3: bool,
    has_psk: bool,
}

impl Hello {
    fn last(plain: &[u8]) -> Option<Self> {
        Messages(plain).filter_map(Self::of).last()
    }

    fn of((kind, body): (u8, &[u8])) -> Option<Self> {
        if kind != SERVER_HELLO {
            return None;
        }
        let random = body.get(2..34)?;
        // The session, the cipher suite and the compression; then the extensions with their length.
        let session = usize::from(*body.get(34)?);
        let mut extensions = body.get(35 + session + 3 + 2..).unwrap_or_default();
        let mut hello = Self { is_retry: random == RETRY, is_1_3: false, has_psk: false };
        while let [t0, t1, l0, l1, rest @ ..] = extensions {
            let (data, others) = rest.split_at_checked(usize::from(u16::from_be_bytes([*l0, *l1])))?;
            match u16::from_be_bytes([*t0, *t1]) {
                PRE_SHARED_KEY => hello.has_psk = true,
                SUPPORTED_VERSIONS => hello.is_1_3 = data == TLS_1_3.to_be_bytes(),
                _ => {}
            }
            extensions = others;
        }
        Some(hello)
    }
}

/// The type and the content of each record that is complete.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, _, _, l0, l1, rest @ ..] = self.0 else { return None };
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*l0, *l1])))?;
        self.0 = rest;
        Some((*kind, body))
    }
}

/// The type and the content of each handshake message that is complete.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, l0, l1, l2, rest @ ..] = self.0 else { return None };
        let (body, rest) = rest.split_at_checked(u32::from_be_bytes([0, *l0, *l1, *l2]) as usize)?;
        self.0 = rest;
        Some((*kind, body))
    }
}
