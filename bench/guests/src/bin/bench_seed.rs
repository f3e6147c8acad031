//! The blocking client as it was published before, in a guest. It runs the very source that the native contender is
//! made of.

use std::process::ExitCode;

use stage::Stage;
use unable::Unable;

#[path = "../arguments.rs"]
mod arguments;
#[path = "../../../src/job.rs"]
#[allow(dead_code, reason = "the host needs more of it")]
mod job;
#[path = "../../../src/contenders/seed_blocking.rs"]
mod seed_blocking;
#[path = "../stage.rs"]
#[allow(dead_code, reason = "the client cannot do every job")]
mod stage;
#[path = "../unable.rs"]
mod unable;

fn main() -> ExitCode {
    let stage = Stage::from_arguments();
    unable::tell(seed_blocking::run(&stage))
}
