//! SCRAM-SHA-256 (RFC 5802, RFC 7677): proves that both sides know the password without sending it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::authenticate::Authenticator;

/// The GS2 header of a client that binds no channel, and its Base64 form.
const GS2_HEADER: &str = "n,,";
const GS2_HEADER_BASE64: &str = "biws";

/// The fewest iterations that a broker may ask for (RFC 7677, section 4), and the most that a client does: a broker
/// must not be able to keep it busy for ever.
const ITERATIONS: core::ops::RangeInclusive<u32> = 4_096..=10_000_000;

const NONCE_BYTES: usize = 18;

type Hash = [u8; 32];

/// SCRAM-SHA-256 as an [`Authenticator`] (RFC 5802, RFC 7677): both sides prove that they know the password, and
/// neither sends it. Does not bind to a TLS channel. `Debug` does not show the password.
///
/// ```no_run
/// use mqtt_wasi::{Client, Options, ScramSha256};
///
/// let scram = ScramSha256::new("user", "pencil")?;
/// let client = Client::connect("mqtts://broker.local", Options::new().authenticator(scram))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ScramSha256 {
    user_name: String,
    password: String,
    /// What the client chose, for as long as the exchange lasts.
    nonce: String,
    /// What proves that the broker knows the password, once the client's proof was sent.
    server_signature: Option<Hash>,
}

impl ScramSha256 {
    /// A client that logs in as `user_name`.
    ///
    /// # Errors
    /// [`ProhibitedCharacter`] when User Name or password has a character that SASLprep (RFC 4013) does not allow.
    ///
    /// ```
    /// use mqtt_wasi::{Authenticator, ProhibitedCharacter, ScramSha256};
    ///
    /// let mut scram = ScramSha256::new("user", "pencil")?;
    /// assert_eq!(scram.method(), "SCRAM-SHA-256");
    /// let first = scram.start().expect("there is randomness").expect("the client speaks first");
    /// assert!(first.starts_with(b"n,,n=user,r="));
    /// # Ok::<(), ProhibitedCharacter>(())
    /// ```
    pub fn new(user_name: &str, password: &str) -> Result<Self, ProhibitedCharacter> {
        let prepared = |text| stringprep::saslprep(text).map(Into::into).map_err(|_| ProhibitedCharacter);
        Ok(Self {
            user_name: prepared(user_name)?,
            password: prepared(password)?,
            nonce: String::new(),
            server_signature: None,
        })
    }

    /// The client's first message without its header.
    fn first_bare(&self) -> String {
        let user_name = self.user_name.replace('=', "=3D").replace(',', "=2C");
        format!("n={user_name},r={}", self.nonce)
    }
}

impl Authenticator for ScramSha256 {
    fn method(&self) -> &str {
        "SCRAM-SHA-256"
    }

    fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| format!("the system has no random numbers: {error}"))?;
        self.nonce = BASE64.encode(nonce);
        self.server_signature = None;
        Ok(Some(format!("{GS2_HEADER}{}", self.first_bare()).into_bytes()))
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        let server_first = core::str::from_utf8(challenge).map_err(|_| "the broker's challenge is not UTF-8")?;
        if self.nonce.is_empty() || self.server_signature.is_some() {
            return Err("the broker sent a challenge out of turn".to_owned());
        }
        let mut attributes = server_first.split(',');
        let mut attribute = |name: &str| {
            let value = attributes.next().and_then(|attribute| attribute.strip_prefix(name)?.strip_prefix('='));
            value.ok_or_else(|| format!("the broker's challenge has no {name}= in its place"))
        };
        let (nonce, salt, iterations) = (attribute("r")?, attribute("s")?, attribute("i")?);
        if nonce.strip_prefix(self.nonce.as_str()).is_none_or(str::is_empty) {
            return Err("the broker's nonce does not begin with the client's".to_owned());
        }
        let salt = BASE64.decode(salt).map_err(|_| "the broker's salt is not Base64")?;
        let iterations = iterations.parse().ok().filter(|iterations| ITERATIONS.contains(iterations));
        let iterations = iterations.ok_or("the broker asks for fewer than 4,096 or more than 10,000,000 iterations")?;

        let salted_password = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(self.password.as_bytes(), &salt, iterations);
        let client_key = hmac(&salted_password, b"Client Key");
        let stored_key: Hash = Sha256::digest(client_key).into();
        let final_without_proof = format!("c={GS2_HEADER_BASE64},r={nonce}");
        let auth_message = format!("{},{server_first},{final_without_proof}", self.first_bare());
        let client_signature = hmac(&stored_key, auth_message.as_bytes());
        let mut proof = client_key;
        proof.iter_mut().zip(client_signature).for_each(|(byte, other)| *byte ^= other);

        let server_key = hmac(&salted_password, b"Server Key");
        self.server_signature = Some(hmac(&server_key, auth_message.as_bytes()));
        Ok(format!("{final_without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }

    fn finish(&mut self, data: &[u8]) -> Result<(), String> {
        let expected = self.server_signature.take().ok_or("the broker reported success without the exchange")?;
        self.nonce.clear();
        let said = core::str::from_utf8(data).ok().and_then(|said| said.split(',').next()).unwrap_or_default();
        if let Some(error) = said.strip_prefix("e=") {
            return Err(format!("the broker refused: {error}"));
        }
        let signature = said.strip_prefix("v=").and_then(|signature| BASE64.decode(signature).ok());
        // Nobody gains by guessing: the exchange is over either way, so this need not take the same time each time.
        if signature.as_deref() == Some(&expected[..]) {
            Ok(())
        } else {
            Err("the broker did not prove that it knows the password".to_owned())
        }
    }
}

impl fmt::Debug for ScramSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramSha256").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

/// A User Name or password with a character that SASLprep does not allow, such as a control character.
///
/// ```
/// use mqtt_wasi::{ProhibitedCharacter, ScramSha256};
///
/// assert_eq!(ScramSha256::new("user\u{7}", "pencil").unwrap_err(), ProhibitedCharacter);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProhibitedCharacter;

impl fmt::Display for ProhibitedCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the user name or password has a character that SASLprep (RFC 4013) does not allow")
    }
}

impl core::error::Error for ProhibitedCharacter {}

fn hmac(key: &[u8], message: &[u8]) -> Hash {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| unreachable!());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    /// A client of that example, which has sent its first message.
    fn started() -> ScramSha256 {
        let mut scram = ScramSha256::new("user", "pencil").unwrap();
        scram.start().unwrap();
        scram.nonce = CLIENT_NONCE.to_owned();
        scram
    }

    #[test]
    fn example_of_rfc_7677_comes_out() {
        let mut scram = started();
        assert_eq!(format!("{GS2_HEADER}{}", scram.first_bare()), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.answer(SERVER_FIRST.as_bytes()).unwrap(), CLIENT_FINAL.as_bytes());
        assert_eq!(scram.finish(SERVER_FINAL.as_bytes()), Ok(()));
    }

    #[test]
    fn every_exchange_has_a_nonce_of_its_own() {
        let mut scram = ScramSha256::new("user", "pencil").unwrap();
        let (one, other) = (scram.start().unwrap().unwrap(), scram.start().unwrap().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), "n,,n=user,r=".len() + 24);
    }

    #[test]
    fn broker_that_does_not_know_the_password_is_not_trusted() {
        for data in ["", "v=", "v=AAAA", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "e=other-error"] {
            let mut scram = started();
            scram.answer(SERVER_FIRST.as_bytes()).unwrap();
            assert!(scram.finish(data.as_bytes()).is_err(), "{data}");
        }
        assert!(started().finish(SERVER_FINAL.as_bytes()).is_err(), "success without an exchange");
    }

    #[test]
    fn wrong_challenges_get_no_answer() {
        for challenge in [
            "",
            "r=rOprNGfwEbeRWgbNEkqO%,s=W22ZaJ0SNY7soEsUEjb6gQ==",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO%,s=?,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO%,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
            "r=rOprNGfwEbeRWgbNEkqO%,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            "m=extension,r=rOprNGfwEbeRWgbNEkqO%,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        ] {
            assert!(started().answer(challenge.as_bytes()).is_err(), "{challenge}");
        }
        let mut scram = started();
        scram.answer(SERVER_FIRST.as_bytes()).unwrap();
        assert!(scram.answer(SERVER_FIRST.as_bytes()).is_err(), "a second challenge");
    }

    #[test]
    fn names_are_prepared_and_escaped() {
        let scram = ScramSha256::new("a=b,c", "I\u{ad}X").unwrap();
        assert_eq!((scram.first_bare().as_str(), scram.password.as_str()), ("n=a=3Db=2Cc,r=", "IX"));
        assert!(ScramSha256::new("user", "\u{7}").is_err());
        assert!(!format!("{:?}", ScramSha256::new("user", "pencil").unwrap()).contains("pencil"));
    }
}
