//! The blocking client in a guest. It runs the very source that the native contender is made of.

use std::process::ExitCode;

use stage::Stage;
use unable::Unable;

#[path = "../arguments.rs"]
mod arguments;
#[path = "../../../src/contenders/blocking.rs"]
mod blocking;
#[path = "../../../src/job.rs"]
#[allow(dead_code, reason = "the host needs more of it")]
mod job;
#[path = "../stage.rs"]
#[allow(dead_code, reason = "it has a client without TLS")]
mod stage;
#[path = "../unable.rs"]
mod unable;

fn main() -> ExitCode {
    let stage = Stage::from_arguments();
    unable::tell(blocking::run(&stage))
}
