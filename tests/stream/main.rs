//! Payloads that are streamed by the async client, over a byte stream in memory to a scripted broker: what arrives, what
//! a failure comes to, and how much memory the largest message takes that MQTT allows.

mod heap;
mod publish;
mod receive;
mod wire;
