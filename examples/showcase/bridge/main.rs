//! A bridge between two brokers. What matches one filter goes from the near one to the far one, and what matches
//! another filter comes back. A message is acknowledged to the broker it comes from once the other one has it.

#[cfg_attr(target_family = "wasm", path = "component.rs")]
mod native;

use std::process::ExitCode;

/// What to connect, and what to forward.
struct Bridge {
    near: String,
    far: String,
    /// From near to far.
    out: String,
    /// From far to near.
    back: String,
}

/// So many messages are on their way at the same time, each way.
const BATCH: usize = 100;

/// By this name the brokers keep messages while the bridge is down.
const CLIENT_ID: &str = "bridge";

/// For so long, in seconds.
const SESSION: u32 = 3_600;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(near), Some(far)) = (args.next(), args.next()) else {
        eprintln!("use: bridge NEAR-URL FAR-URL [OUT-FILTER [BACK-FILTER]]");
        return ExitCode::FAILURE;
    };
    let out = args.next().unwrap_or_else(|| "out/#".into());
    let back = args.next().unwrap_or_else(|| "back/#".into());
    match native::run(&Bridge { near, far, out, back }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
