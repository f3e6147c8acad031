//! The component for WASI 0.3: a face over the [engine](crate::engine) that any number of calls share, over one
//! connection. Its options, types and texts are those of [`component`](crate::component).
//!
//! ```text
//!   call ──► engine ──► what has piled up ──► driver: one write ──► broker
//!   call ◄── outcome ◄─ engine ◄──────────────┴── one read  ◄────── broker
//! ```
//!
//! The driver is a task of its own beside the call of `connect`, and continues when that has returned. Calls put their
//! packets into the engine themselves and wake the driver, and wait until it wakes them.

mod driver;
mod export;
mod shared;
mod streams;
