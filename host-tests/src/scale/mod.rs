//! Many clients at a cluster of brokers: one node is killed under load, and what then becomes of messages and
//! connections is measured.

mod failover;
mod memory;
mod sharing;

pub use failover::{Failover, Seen};
pub use memory::{Idle, idle_connections};
pub use sharing::{Shares, share_work};
