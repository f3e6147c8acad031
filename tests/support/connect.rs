// What a client says in CONNECT, for the examples in the documentation, which include this file.

use mqtt_wasi::codec::{Connect, Packet};
use mqtt_wasi::session::{Session, SessionOptions};
use mqtt_wasi::Instant;

/// The CONNECT of a client with these options.
pub fn connect(options: impl Into<SessionOptions>) -> Connect<'static> {
    let mut session = Session::new(options);
    session.connect(Instant::ZERO).expect("valid options");
    let bytes: &'static [u8] = Box::leak(session.transmit().into());
    match Packet::decode(bytes) {
        Ok(Some((Packet::Connect(connect), _))) => connect,
        other => panic!("{other:?} is sent first"),
    }
}
