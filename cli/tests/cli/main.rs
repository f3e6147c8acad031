//! The command-line client does what its help says: as a program and as a component, beside mosquitto's own clients,
//! against brokers that behave and one that does not, and in a terminal.

mod component;
mod failures;
mod form;
mod mosquitto;
mod readme;
mod requests;
mod secrets;
mod terminal;
