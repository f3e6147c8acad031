//! Short names for the packets that brokers send.

pub use mqtt_wasi_testing::packets::*;
