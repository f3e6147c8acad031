//! Earlier revisions of this project, to be measured beside it.

use std::path::PathBuf;
use std::process::Command;

use crate::error::Result;
use crate::process::{read, run, step};
use crate::workspace;

/// The folder of a revision's source, which is checked out if it is not there yet. It stays as it is.
pub(crate) fn check_out(revision: &str) -> Result<PathBuf> {
    let mut parse = git();
    // A branch may be another revision the next time.
    parse.args(["rev-parse", "--verify", "--short", &format!("{revision}^{{commit}}")]);
    let commit = read(&mut parse)?;
    let source = workspace::target().join("revisions").join(commit.trim());
    if !source.exists() {
        step(&format!("checking out {revision}"));
        run(git().args(["worktree", "add", "--force", "--detach"]).arg(&source).arg(revision))?;
    }
    Ok(source)
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(workspace::root());
    git
}
