//! Enhanced authentication for clients: what answers the broker's challenges (section 4.12).

use alloc::string::String;
use alloc::vec::Vec;

use crate::session::Challenge;

/// One side of an Authentication Method: says what CONNECT begins with, answers challenges, and checks in the end that
/// the broker is who it should be.
///
/// [`Options::authenticator`](crate::Options::authenticator) takes one. It may take its time: whoever calls it holds nothing
/// that others wait for. With the feature `scram` there is one for SCRAM-SHA-256.
///
/// ```
/// use mqtt_wasi::Authenticator;
///
/// /// A method in which whoever knows the token says it.
/// #[derive(Clone)]
/// struct Token(Vec<u8>);
///
/// impl Authenticator for Token {
///     fn method(&self) -> &str {
///         "TOKEN"
///     }
///
///     fn start(&mut self) -> Result<Option<Vec<u8>>, String> {
///         Ok(Some(self.0.clone()))
///     }
///
///     fn answer(&mut self, _: &[u8]) -> Result<Vec<u8>, String> {
///         Err("a token has no more to say".into())
///     }
///
///     fn finish(&mut self, _: &[u8]) -> Result<(), String> {
///         Ok(())
///     }
/// }
/// ```
pub trait Authenticator {
    /// The Authentication Method. Never changes.
    fn method(&self) -> &str;

    /// The Authentication Data to begin with: of CONNECT, at each connection anew, or of the AUTH that authenticates
    /// again. `None` sends none, for methods in which the broker speaks first (section 4.12). Empty data is data.
    ///
    /// # Errors
    /// Why it cannot begin, in words.
    fn start(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// Hears all that the broker says in an AUTH, its Reason String and User Properties among it, before that is answered or
    /// checked. Default: pays no attention.
    fn hear(&mut self, _said: &Challenge) {}

    /// The answer to a challenge, whose Authentication Data is empty where the broker sent none.
    ///
    /// # Errors
    /// Why there is no answer, in words. The connection is closed.
    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String>;

    /// Checks the Authentication Data that came with success, empty where the broker sent none.
    ///
    /// # Errors
    /// Why the broker is not to be trusted, in words. The connection is closed.
    fn finish(&mut self, data: &[u8]) -> Result<(), String>;
}
