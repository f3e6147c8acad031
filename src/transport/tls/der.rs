//! As much of DER as it takes to say what is wrong with a certificate or a key, and in which words.

use alloc::string::String;
use core::fmt::{self, Write};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];

/// The longest RSA key whose signatures the provider checks, in bits.
const LONGEST_RSA: usize = 4096;

/// The shortest RSA key that there is sense in showing: brokers refuse shorter ones.
const SHORTEST_RSA: usize = 2048;

/// Elements one behind the other.
#[derive(Clone, Copy)]
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn peek(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element's tag and contents.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first > 0x80 {
            let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7F))?;
            len = bytes.iter().try_fold(0_usize, |len, byte| Some(len.checked_mul(256)? | usize::from(*byte)))?;
            rest = behind;
        }
        let (contents, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, contents))
    }

    /// The contents of the next element, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
    }

    /// What is in the next element, if it is a sequence.
    fn enter(&mut self) -> Option<Self> {
        self.take(SEQUENCE).map(Elements)
    }
}

/// The first element, with its tag and without what is behind it.
pub(super) fn first(der: &[u8]) -> Option<&[u8]> {
    let mut elements = Elements(der);
    elements.next()?;
    Some(&der[..der.len() - elements.0.len()])
}

/// What there is to say of a certificate.
pub(super) struct Certificate<'a> {
    /// Whether it is of version 3, the only one for brokers and clients.
    pub(super) is_v3: bool,
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// From when and until when it is valid, if that is written as it should be.
    pub(super) validity: Option<(Time, Time)>,
    pub(super) key: KeyKind,
    /// The bits of the public key.
    pub(super) public: &'a [u8],
    /// Whether it says that it is a CA's.
    pub(super) is_ca: bool,
}

impl<'a> Certificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut fields = Elements(der).enter()?.enter()?;
        let is_v3 = fields.peek() == Some(0xA0);
        if is_v3 {
            fields.next()?;
        }
        fields.take(INTEGER)?;
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?;
        let mut validity = fields.enter()?;
        let (not_before, not_after) = (Time::read(validity.next()?), Time::read(validity.next()?));
        let subject = fields.take(SEQUENCE)?;
        let mut key = fields.enter()?;
        let algorithm = key.take(SEQUENCE)?;
        // The first byte tells how many bits are not used: none.
        let public = key.take(BIT_STRING)?.get(1..)?;
        let is_ca = fields.0.windows(BASIC_CONSTRAINTS.len()).position(|id| id == BASIC_CONSTRAINTS);
        let is_ca = is_ca.is_some_and(|at| says_ca(&fields.0[at + BASIC_CONSTRAINTS.len()..]).unwrap_or(false));
        let key = KeyKind::of_public(algorithm, public);
        Some(Self { is_v3, issuer, subject, validity: not_before.zip(not_after), key, public, is_ca })
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The issuer's Common Name, as far as it is fit to be shown.
    pub(super) fn issuer_name(&self) -> Option<&'a str> {
        let mut sets = Elements(self.issuer);
        while let Some(set) = sets.take(SET) {
            let mut attribute = Elements(set).enter()?;
            if attribute.take(OID)? == COMMON_NAME {
                let name = str::from_utf8(attribute.next()?.1).ok()?;
                return Some(name).filter(|name| name.len() <= 64 && !name.contains(char::is_control));
            }
        }
        None
    }
}

/// Whether Basic Constraints, from behind their identifier, are those of a CA.
fn says_ca(extension: &[u8]) -> Option<bool> {
    let mut extension = Elements(extension);
    let (mut tag, mut contents) = extension.next()?;
    if tag != OCTET_STRING {
        // Whether they are critical.
        (tag, contents) = extension.next()?;
    }
    let mut constraints = Elements(contents).enter()?;
    Some(tag == OCTET_STRING && constraints.next()? == (0x01, &[0xFF]))
}

/// A time, as digits: those of the year, the month, the day, hours, minutes and seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time([u8; 14]);

impl Time {
    fn read((tag, text): (u8, &[u8])) -> Option<Self> {
        let mut digits = *b"20000000000000";
        match (tag, text) {
            (GENERALIZED_TIME, [text @ .., b'Z']) if text.len() == 14 => digits.copy_from_slice(text),
            (UTC_TIME, [text @ .., b'Z']) if text.len() == 12 => {
                if text[0] >= b'5' {
                    digits[..2].copy_from_slice(b"19");
                }
                digits[2..].copy_from_slice(text);
            }
            _ => return None,
        }
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// So many seconds after the beginning of 1970.
    pub(super) fn from_unix(seconds: u64) -> Self {
        // Days are counted from 0000-03-01, so that leap days are the last of their years; 400 years have 146,097 days.
        let (days, seconds) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let numbers = [(year, 0..4), (month, 4..6), (day, 6..8)];
        let clock = [(seconds / 3600, 8..10), (seconds / 60 % 60, 10..12), (seconds % 60, 12..14)];
        let mut digits = [b'0'; 14];
        for (mut number, place) in numbers.into_iter().chain(clock) {
            for digit in digits[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        Self(digits)
    }
}

/// The day.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, digit) in self.0[..8].iter().enumerate() {
            if place == 4 || place == 6 {
                f.write_char('-')?;
            }
            f.write_char(char::from(*digit))?;
        }
        Ok(())
    }
}

/// What kind of key it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa {
        bits: usize,
    },
    P256,
    P384,
    Ed25519,
    /// One that the provider does not know.
    Other(String),
}

impl KeyKind {
    fn of_public(algorithm: &[u8], public: &[u8]) -> Self {
        Self::of(algorithm, || Some(bits(Elements(public).enter()?.take(INTEGER)?)))
    }

    /// The kind for an algorithm with its parameters. `rsa_bits` has the length of the key if it is for RSA.
    fn of(algorithm: &[u8], rsa_bits: impl FnOnce() -> Option<usize>) -> Self {
        let mut algorithm = Elements(algorithm);
        match algorithm.take(OID).unwrap_or_default() {
            RSA => Self::Rsa { bits: rsa_bits().unwrap_or(0) },
            EC => Self::on_curve(algorithm),
            [0x2B, 0x65, 0x70] => Self::Ed25519,
            other => Self::Other(name(other)),
        }
    }

    fn on_curve(mut parameters: Elements<'_>) -> Self {
        match parameters.next() {
            Some((OID, P256)) => Self::P256,
            Some((OID, P384)) => Self::P384,
            Some((OID, curve)) => Self::Other(String::from("ECDSA with ") + &name(curve)),
            _ => Self::Other("ECDSA with explicit curve parameters instead of a named curve".into()),
        }
    }

    /// Whether the provider checks signatures of such keys.
    pub(super) const fn can_be_verified(&self) -> bool {
        match self {
            Self::Rsa { bits } => *bits <= LONGEST_RSA,
            Self::Other(_) => false,
            _ => true,
        }
    }

    /// Whether the provider signs with such keys.
    pub(super) const fn can_sign(&self) -> bool {
        match self {
            Self::Rsa { bits } => *bits >= SHORTEST_RSA && *bits <= LONGEST_RSA,
            Self::Other(_) => false,
            _ => true,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa { bits } => return write!(f, "RSA with {bits} bits"),
            Self::P256 => "ECDSA with P-256",
            Self::P384 => "ECDSA with P-384",
            Self::Ed25519 => "Ed25519",
            Self::Other(name) => name,
        })
    }
}

/// What may have been given for a private key.
pub(super) enum PrivateKey<'a> {
    /// In the form of PKCS #8.
    Pkcs8(KeyKind),
    /// In that of PKCS #1: RSA.
    Pkcs1(KeyKind),
    /// In that of SEC 1: ECDSA.
    Sec1(KeyKind),
    /// Something else, with what to say of it.
    Other(&'a str),
}

impl PrivateKey<'_> {
    pub(super) fn read(der: &[u8]) -> Self {
        Self::try_read(der).unwrap_or(Self::Other("it is neither PEM nor DER of a private key"))
    }

    fn try_read(der: &[u8]) -> Option<Self> {
        let mut key = Elements(der).enter()?;
        let (tag, version) = key.next()?;
        let within = Elements(version);
        Some(match (tag, version, key.peek()?) {
            (INTEGER, _, SEQUENCE) if version == [3] => Self::Other(PKCS12),
            (INTEGER, _, SEQUENCE) => {
                let algorithm = key.take(SEQUENCE)?;
                let contents = key.take(OCTET_STRING)?;
                Self::Pkcs8(KeyKind::of(algorithm, || rsa_modulus(contents).map(bits)))
            }
            (INTEGER, _, INTEGER) => Self::Pkcs1(KeyKind::Rsa { bits: rsa_modulus(der).map(bits)? }),
            (INTEGER, _, OCTET_STRING) => {
                let len = key.take(OCTET_STRING)?.len();
                Self::Sec1(match (key.peek(), len) {
                    (Some(0xA0), _) => KeyKind::on_curve(Elements(key.next()?.1)),
                    (_, 48) => KeyKind::P384,
                    _ => KeyKind::P256,
                })
            }
            (SEQUENCE, _, OCTET_STRING) => Self::Other(super::pem::ENCRYPTED),
            (SEQUENCE, _, BIT_STRING) => Self::Other("it is a public key, not the private one"),
            (SEQUENCE, _, SEQUENCE) if within.peek() == Some(0xA0) => {
                Self::Other("it is a certificate, not a private key")
            }
            _ => return None,
        })
    }
}

/// What is said of a container that other tools make.
pub(super) const PKCS12: &str = "it is PKCS #12 (.p12, .pfx): convert it to PEM, for example by `openssl pkcs12`";

/// The modulus of an RSA key: of a public one, or of a private one in the form of PKCS #1 or PKCS #8.
pub(super) fn rsa_modulus(der: &[u8]) -> Option<&[u8]> {
    let mut key = Elements(der).enter()?;
    let first = key.take(INTEGER)?;
    match key.next()? {
        // A public key ends with its exponent.
        (INTEGER, _) if key.0.is_empty() => Some(first),
        (INTEGER, modulus) => Some(modulus),
        _ => rsa_modulus(key.take(OCTET_STRING)?),
    }
}

/// The secret of a key for ECDSA, in the form of SEC 1 or PKCS #8.
pub(super) fn ec_secret(der: &[u8]) -> Option<&[u8]> {
    let mut key = Elements(der).enter()?;
    key.take(INTEGER)?;
    match key.next()? {
        (OCTET_STRING, secret) => Some(secret),
        _ => ec_secret(key.take(OCTET_STRING)?),
    }
}

/// How many bits a number has.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    number.len() * 8 - number.first().map_or(0, |byte| byte.leading_zeros() as usize)
}

const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];

/// What has an identifier that the provider does not know, in one way or another. Those that begin alike are one.
const NAMES: &[(&[u8], &str)] = &[
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01], "RSA"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x04], "RSA with MD5"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x05], "RSA with SHA-1"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A], "RSA-PSS"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B], "RSA with SHA-256"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0C], "RSA with SHA-384"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0D], "RSA with SHA-512"),
    (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0E], "RSA with SHA-224"),
    (EC, "ECDSA"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x01], "ECDSA with SHA-1"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x01], "ECDSA with SHA-224"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02], "ECDSA with SHA-256"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03], "ECDSA with SHA-384"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x04], "ECDSA with SHA-512"),
    (P256, "P-256"),
    (P384, "P-384"),
    (&[0x2B, 0x81, 0x04, 0x00, 0x23], "P-521"),
    (&[0x2B, 0x81, 0x04, 0x00, 0x0A], "secp256k1"),
    (&[0x2B, 0x24, 0x03, 0x03, 0x02, 0x08], "a Brainpool curve"),
    (&[0x2B, 0x65, 0x6E], "X25519"),
    (&[0x2B, 0x65, 0x6F], "X448"),
    (&[0x2B, 0x65, 0x70], "Ed25519"),
    (&[0x2B, 0x65, 0x71], "Ed448"),
    (&[0x2A, 0x86, 0x48, 0xCE, 0x38, 0x04], "DSA"),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03], "a post-quantum algorithm"),
];

/// The name of an algorithm in an AlgorithmIdentifier's contents.
pub(super) fn algorithm_name(algorithm: &[u8]) -> String {
    name(Elements(algorithm).take(OID).unwrap_or_default())
}

/// The name of a key's algorithm there, with its curve.
pub(super) fn key_name(algorithm: &[u8]) -> String {
    match KeyKind::of(algorithm, || None) {
        KeyKind::Rsa { .. } => "RSA".into(),
        kind => alloc::format!("{kind}"),
    }
}

/// The name for an identifier, or its numbers.
fn name(identifier: &[u8]) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| identifier.starts_with(known)) {
        return (*name).into();
    }
    let mut text = String::from("the algorithm");
    let (mut number, mut before) = (0_u32, ' ');
    for byte in identifier.iter().take(32) {
        number = number << 7 | u32::from(byte & 0x7F);
        if *byte < 0x80 {
            // The first holds two.
            if before == ' ' {
                let root = (number / 40).min(2);
                let _ = write!(text, " {root}");
                number -= root * 40;
                before = '.';
            }
            let _ = write!(text, "{before}{number}");
            number = 0;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn identifiers_have_names_or_numbers() {
        assert_eq!(name(&[0x2B, 0x65, 0x71]), "Ed448");
        assert_eq!(name(&[0x2A, 0x86, 0x48, 0xCE, 0x38, 0x04, 0x03]), "DSA");
        assert_eq!(name(&[0x2A, 0x81, 0x1C, 0xCF, 0x55]), "the algorithm 1.2.156.10197");
        assert_eq!(name(&[0x88, 0x37, 0x03]), "the algorithm 2.999.3");
        assert_eq!(name(&[]), "the algorithm");
        assert!(name(&[0xFF; 64]).len() < 64);
    }

    #[test]
    fn times_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (4_102_444_800, "2100-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(Time::from_unix(seconds).to_string(), date, "{seconds}");
        }
        assert_eq!(Time::from_unix(1_735_689_599).0, *b"20241231235959");
        let utc = Time::read((UTC_TIME, b"491231235959Z")).unwrap();
        assert!(Time::read((UTC_TIME, b"500101000000Z")).unwrap() < utc);
        assert!(Time::read((GENERALIZED_TIME, b"20500101000000Z")).unwrap() > utc);
        for wrong in [&b"491231235959"[..], b"49123123595-Z", b"4912312359Z", b""] {
            assert!(Time::read((UTC_TIME, wrong)).is_none());
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_refused() {
        for der in [&[0x30, 0x05, 0x02][..], &[0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], &[0x30, 0x89, 1], &[0x30], &[]] {
            assert!(Elements(der).next().is_none(), "{der:?}");
            assert!(Certificate::read(der).is_none());
            assert!(matches!(PrivateKey::read(der), PrivateKey::Other(_)));
        }
        assert_eq!((bits(&[]), bits(&[0, 0]), bits(&[0, 0x80]), bits(&[1, 0])), (0, 0, 8, 9));
    }
}
