//! Why a guest did not do its job: to guests what `Unable` of `bench/src/contenders/mod.rs` is to native contenders.

use std::fmt::Display;
use std::process::ExitCode;

/// Why a guest did not do its job.
pub(crate) enum Unable {
    /// Its client has no way to do it; what is missing.
    Lacks(&'static str),
    /// It tried, and failed.
    Failed(String),
}

impl<E: Display> From<E> for Unable {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Tells the host how it went, which makes an `Unable` of it again: by standard error and by how the guest ends.
pub(crate) fn tell(result: Result<(), Unable>) -> ExitCode {
    match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Unable::Lacks(what)) => eprintln!("lacks: {what}"),
        Err(Unable::Failed(why)) => eprintln!("failed: {why}"),
    }
    ExitCode::FAILURE
}
