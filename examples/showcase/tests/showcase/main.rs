//! The programs do what their READMEs say, by the commands that stand there: natively and in wasmtime, against
//! mosquitto.

mod bridge;
mod command_and_control;
mod dashboard;
mod form;
mod observer;
mod sensor;
mod workers;
