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

impl Unable {
    /// As the host is told, which makes an `Unable` of it again.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Lacks(what) => format!("lacks: {what}"),
            Self::Failed(why) => format!("failed: {why}"),
        }
    }
}

/// Tells the host how it went, by standard error and by how the guest ends.
pub(crate) fn tell(result: Result<(), Unable>) -> ExitCode {
    let Err(unable) = result else { return ExitCode::SUCCESS };
    eprintln!("{}", unable.said());
    ExitCode::FAILURE
}
