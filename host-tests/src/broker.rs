//! Brokers to test against.
