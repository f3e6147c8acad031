//! Why the program ends without success, in words and as an exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use mqtt_wasi::{Error, ErrorKind};

/// What the exit codes of `--help` stand for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something that is wrong with the command line, and that it takes more than the command line to know.
    Usage(String),
    /// A file, or a program.
    Here { what: String, error: io::Error },
    /// The reader of our output has gone.
    BrokenPipe,
    /// A call of the client.
    Client(Error),
    /// The time of `-W` ran out.
    TimedOut,
    /// By a signal, before the work was done.
    Interrupted(u8),
    /// Reported already, by those concerned.
    Told(u8),
}

impl Failure {
    /// What happened to a file, for which `what` is a sentence's beginning: "reading ca.pem".
    pub(crate) fn here(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Here { what: what.into(), error }
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Here { .. } => 1,
            Self::Usage(_) => 2,
            Self::Client(error) => code_of(error),
            Self::TimedOut => 27,
            Self::BrokenPipe => 141,
            Self::Interrupted(signal) => 128 + signal,
            Self::Told(code) => *code,
        }
    }

    /// Whether there is something to tell: a reader that has gone, and who pressed Ctrl-C, know.
    pub(crate) const fn is_news(&self) -> bool {
        !matches!(self, Self::BrokenPipe | Self::Interrupted(_) | Self::Told(_))
    }
}

/// The exit code for an error of the client.
pub(crate) fn code_of(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::WrongCall => 2,
        ErrorKind::ConnectionOver => 3,
        ErrorKind::Refused => 4,
        ErrorKind::NotTrusted => 5,
        ErrorKind::ProtocolBroken => 6,
        ErrorKind::TimedOut => 27,
        ErrorKind::TryLater => 1,
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        failure.code().into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

/// What writing to standard output fails with.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Here { what: "writing to standard output".into(), error },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => f.write_str(what),
            Self::Here { what, error } => write!(f, "{what}: {error}"),
            Self::BrokenPipe => f.write_str("the reader of the output has gone"),
            Self::Client(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the time of -W ran out"),
            Self::Interrupted(_) => f.write_str("interrupted"),
            Self::Told(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_wasi::{ReasonCode, TransportError, TransportErrorKind};

    use super::*;

    #[test]
    fn scripts_can_tell_failures_apart() {
        let transport = |kind| Failure::from(Error::from(TransportError { kind, message: String::new() }));
        assert_eq!(transport(TransportErrorKind::ConnectionRefused).code(), 3);
        assert_eq!(transport(TransportErrorKind::Tls(mqtt_wasi::TlsFailure::Expired)).code(), 5);
        assert_eq!(Failure::from(Error::PublishRefused(Box::new(ReasonCode::NotAuthorized.into()))).code(), 4);
        assert_eq!(Failure::from(Error::Mqtt3Only).code(), 6);
        assert_eq!(Failure::from(Error::Timeout).code(), 27);
        assert_eq!(Failure::Interrupted(2).code(), 130);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).code(), 141);
    }
}
