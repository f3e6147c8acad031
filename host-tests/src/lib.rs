//! A wasmtime harness for the mqtt component: finds or builds the components, composes them, and runs them with the
//! network permission that a test gives them and nothing else.

pub mod broker;
pub mod components;
pub mod runtime;
