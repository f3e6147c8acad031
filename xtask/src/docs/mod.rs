//! The checks of what people read: Markdown, WIT, Rust's doc comments, and messages.
//!
//! Each check is a function of the [`Tree`] that returns problems, and has tests with a good and a bad text.

mod blocks;
mod cargo_commands;
mod figures;
mod layout;
mod links;
mod names;
mod pages;
mod prose;
mod rust;
mod slug;
mod tree;
mod words;

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::package;
use crate::process::step;
use crate::workspace::root;
pub(crate) use pages::commands;
use tree::Tree;

/// Something to change in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    path: String,
    /// Counted from 1.
    line: usize,
    /// The check that found it.
    check: &'static str,
    /// What is wrong, and what to write instead.
    what: String,
}

impl Problem {
    fn new(check: &'static str, path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.into(), line, check, what: what.into() }
    }
}

/// Checks the documentation of the repository, and prints all that is wrong.
pub(crate) fn check() -> Result<()> {
    step("checking the documentation");
    let tree = Tree::read(root())?;
    let (interface, id) = package::P2.parse()?;
    let mut problems = [
        layout::check(&tree),
        names::check(&tree, &interface, id),
        words::check(&tree),
        links::check(&tree),
        pages::check(&tree),
        figures::check(&tree),
        cargo_commands::check(&tree, &cargo_commands::Packages::read()?),
    ]
    .concat();
    problems.sort();
    for Problem { path, line, check, what } in &problems {
        println!("{path}:{line}: {check}: {what}");
    }
    if problems.is_empty() {
        return Ok(());
    }
    println!();
    for (path, count) in count_by(&problems, |problem| &problem.path) {
        println!("{count:>5}  {path}");
    }
    let checks = count_by(&problems, |problem| problem.check);
    let checks: Vec<_> = checks.iter().map(|(check, count)| format!("{check}: {count}")).collect();
    println!("{:>5}  in all ({})", problems.len(), checks.join(", "));
    Err(Error::Docs { problems: problems.len() })
}

fn count_by<'a>(problems: &'a [Problem], key: impl Fn(&'a Problem) -> &'a str) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for problem in problems {
        *counts.entry(key(problem)).or_default() += 1;
    }
    counts
}
