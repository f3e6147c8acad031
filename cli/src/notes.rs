//! What is told on standard error, unless `--quiet` says not to.

use std::fmt::Display;
use std::io::{self, Write as _};

use mqtt_wasi::{ConnectionInfo, Event};

use crate::args::Connection;

/// How much is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notes {
    is_quiet: bool,
    is_loud: bool,
}

impl Notes {
    pub(crate) const fn new(args: &Connection) -> Self {
        Self { is_quiet: args.quiet, is_loud: args.debug }
    }

    /// Something that is wrong.
    pub(crate) fn problem(&self, what: impl Display) {
        if !self.is_quiet {
            tell(what);
        }
    }

    /// Something that `-d` asks for.
    pub(crate) fn detail(&self, what: impl Display) {
        if self.is_loud {
            tell(what);
        }
    }

    /// What happened to the connection: some of it is a problem.
    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::SubscriptionRestored { .. } => self.detail(event),
            _ => self.problem(event),
        }
    }

    pub(crate) fn connected(&self, url: &str, info: Option<ConnectionInfo>) {
        let Some(info) = info else { return };
        let session = if info.session_present { "and continues its session" } else { "with a new session" };
        self.detail(format_args!("connected to {url} as {} {session}", info.client_id));
    }
}

/// Where nobody reads it, it is lost.
fn tell(what: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{what}");
}
