//! Enhanced authentication for clients: what answers the broker's challenges (section 4.12).

use alloc::string::String;
use alloc::vec::Vec;

use crate::session::Challenge;

/// The client's side of an Authentication Method (section 4.12): begins, answers challenges, and checks in the end that
/// the broker is genuine.
///
/// [`Options::authenticator`](crate::Options::authenticator) takes one. It may take its time: its caller holds nothing
/// that others wait for. The feature `scram` has one for SCRAM-SHA-256.
///
#[doc = memory_example!()]
/// use mqtt_wasi::{Authenticator, Client, Options};
///
/// /// A method in which the client shows a token.
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
///     fn answer(&mut self, _challenge: &[u8]) -> Result<Vec<u8>, String> {
///         Err("a token needs no challenge".into())
///     }
///
///     fn finish(&mut self, _data: &[u8]) -> Result<(), String> {
///         Ok(())
///     }
/// }
///
/// let options = Options::new().authenticator(Token(b"a token".to_vec()));
/// let mut client = Client::connect_over(network, options)?;
/// client.authenticate_again()?;
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
pub trait Authenticator {
    /// The Authentication Method. It must not change.
    fn method(&self) -> &str;

    /// The Authentication Data to begin with: that of CONNECT, for each connection, or of the AUTH that authenticates
    /// again. `None` sends none, for methods in which the broker speaks first (section 4.12). Empty data is data.
    ///
    /// # Errors
    /// Why it cannot begin, in words.
    fn start(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// Gets everything in an AUTH of the broker, the Reason String and User Properties included, before
    /// [`answer`](Self::answer) or [`finish`](Self::finish) is called. Default: ignores it.
    fn hear(&mut self, _said: &Challenge) {}

    /// Answers a challenge. Its Authentication Data is empty if the broker sent none.
    ///
    /// # Errors
    /// Why there is no answer, in words. The connection is closed.
    fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String>;

    /// Checks the Authentication Data that came with success. It is empty if the broker sent none.
    ///
    /// # Errors
    /// Why the broker is not to be trusted, in words. The connection is closed.
    fn finish(&mut self, data: &[u8]) -> Result<(), String>;
}
