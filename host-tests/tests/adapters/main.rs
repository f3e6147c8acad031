//! The adapters: what other hosts give their components, over the mqtt component.

mod contract;
mod spin;
mod wasmcloud;
