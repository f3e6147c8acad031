//! A transport without a network, with the broker's end of it: it takes everything at once, and acknowledges every
//! QoS 1 message or looks at nothing.

use std::mem::take;

use mqtt_wasi::codec::{Ack, Packet};
use mqtt_wasi::frame::FrameReader;
use mqtt_wasi::transport::{Transferred, Transport};
use mqtt_wasi::{Instant, Publish, TransportError};

/// The bytes of a CONNACK that says nothing but yes.
pub(crate) const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];

/// The broker's end and the wire to it.
pub(crate) struct Wire {
    reader: FrameReader,
    answers: Vec<u8>,
    /// Whether what comes behind CONNECT is looked at.
    reads_on: bool,
    /// How often something was written.
    pub(crate) writes: u64,
}

impl Wire {
    /// One that acknowledges, and so adds the cost of decoding to what is measured.
    pub(crate) fn acknowledging() -> Self {
        Self { reader: FrameReader::new(u32::MAX), answers: CONNACK.to_vec(), reads_on: true, writes: 0 }
    }

    /// One that costs nothing.
    pub(crate) fn sink() -> Self {
        Self { reads_on: false, ..Self::acknowledging() }
    }

    fn answer(&mut self, mut bytes: &[u8]) {
        while self.reads_on && !bytes.is_empty() {
            let space = self.reader.space();
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            self.reader.filled(len);
            bytes = &bytes[len..];
            while let Some(frame) = self.reader.next_frame().expect("what the client sends is valid") {
                let packet = frame.decode(Default::default()).expect("what the client sends is valid");
                if let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet {
                    Packet::Puback(Ack::success(id)).encode(&mut self.answers).expect("a valid PUBACK");
                }
            }
        }
    }
}

impl Transport for Wire {
    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn transfer(
        &mut self,
        outgoing: &[u8],
        incoming: &mut [u8],
        _: Option<Instant>,
    ) -> Result<Transferred, TransportError> {
        if !outgoing.is_empty() {
            self.writes += 1;
            self.answer(outgoing);
            return Ok(Transferred { sent: outgoing.len(), ..Transferred::default() });
        }
        let mut answers = take(&mut self.answers);
        let received = answers.len().min(incoming.len());
        incoming[..received].copy_from_slice(&answers[..received]);
        answers.drain(..received);
        self.answers = answers;
        Ok(Transferred { received, ..Transferred::default() })
    }

    fn close(&mut self) {}
}
