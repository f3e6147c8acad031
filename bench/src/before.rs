//! An earlier revision's build of this program, whose contenders are measured in the same rounds as today's.

use std::env;
use std::path::PathBuf;

/// Says where its program is, which `cargo xtask bench --against` has built.
const PROGRAM_VARIABLE: &str = "MQTT_WASI_BENCH_BEFORE";

/// Says where its components are.
const COMPONENTS_VARIABLE: &str = "MQTT_WASI_BENCH_BEFORE_COMPONENTS";

/// An earlier revision.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    /// As git names it.
    pub(crate) revision: String,
    pub(crate) program: PathBuf,
    /// The folder of its components.
    pub(crate) components: PathBuf,
}

impl Before {
    /// # Panics
    /// Without the variables of `cargo xtask bench --against`.
    pub(crate) fn from_environment(revision: &str) -> Self {
        let path = |variable| {
            let path = env::var_os(variable).map(PathBuf::from);
            path.unwrap_or_else(|| panic!("{variable} is not set: `cargo xtask bench --against` builds the revision"))
        };
        Self { revision: revision.into(), program: path(PROGRAM_VARIABLE), components: path(COMPONENTS_VARIABLE) }
    }
}

/// Whether a program that measures did not know its contender, its job or its peer, by its last words.
pub(crate) fn is_unknown(words: &str) -> bool {
    ["a contender", "a job: ", "a target: "].iter().any(|start| words.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_does_not_know_is_told_from_what_it_fails_at() {
        let unknown = ["a contender", "a job: \"there is no job `resume`\"", "a target: AddrParseError(Socket)"];
        assert!(unknown.iter().all(|words| is_unknown(words)));
        assert!(!["stalled", "connection refused"].iter().any(|words| is_unknown(words)));
    }
}
