//! Commands of cargo's in pages: that there is what they name, so that they can be copied.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use super::pages::{code_spans, shell_lines};
use super::tree::Tree;
use crate::args::Task;
use crate::error::Result;
use crate::process::read;
use crate::release::unusable;
use crate::workspace::cargo;

/// The packages of the workspace, with the names of their programs, examples and tests.
#[derive(Debug, Default)]
pub(super) struct Packages(BTreeMap<String, BTreeSet<String>>);

impl Packages {
    pub(super) fn read() -> Result<Self> {
        let metadata = read(&mut cargo("metadata --format-version 1 --no-deps --offline"))?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata).map_err(|error| unusable("cargo", error))?;
        let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
        let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
        let packages = list(&metadata["packages"]);
        Ok(Self(packages.iter().map(|it| (name(it), list(&it["targets"]).iter().map(name).collect())).collect()))
    }

    /// What is wrong with a command, if it is one of cargo's for this workspace.
    fn problem(&self, command: &str) -> Option<String> {
        let command = command.split(" #").next().unwrap_or_default();
        let words: Vec<&str> =
            command.split_whitespace().map(|word| word.trim_matches(['\'', '"', '(', ')'])).collect();
        match words.as_slice() {
            ["cargo", "xtask", task @ ..] => match Task::parse(task.iter().map(|word| (*word).to_owned())) {
                Ok(Task::Test(rest)) => self.missing(&rest.iter().map(String::as_str).collect::<Vec<_>>()),
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
            ["cargo", "run" | "test" | "build" | "bench" | "doc" | "package" | "publish", rest @ ..] => {
                self.missing(rest)
            }
            _ => None,
        }
    }

    /// A package or a target that these arguments name and that does not exist.
    fn missing(&self, arguments: &[&str]) -> Option<String> {
        let own: Vec<&str> = arguments.iter().copied().take_while(|word| *word != "--").collect();
        let value = |names: &[&str]| own.windows(2).find(|pair| names.contains(&pair[0])).map(|pair| pair[1]);
        let package = value(&["-p", "--package"]);
        if let Some(package) = package.filter(|package| !self.0.contains_key(*package)) {
            return Some(format!("there is no package `{package}`"));
        }
        let target = value(&["--bin", "--test", "--example"])?;
        let exists = match package {
            Some(package) => self.0[package].contains(target),
            None => self.0.values().any(|targets| targets.contains(target)),
        };
        (!exists).then(|| format!("`{}` has no target `{target}`", package.unwrap_or("the workspace")))
    }
}

pub(super) fn check(tree: &Tree, packages: &Packages) -> Vec<Problem> {
    // What was there once stays in the history.
    let pages = tree.markdown().filter(|page| page.path != "CHANGELOG.md");
    pages
        .flat_map(|page| {
            let lines = shell_lines(&page.text).into_iter().chain(code_spans(&page.text));
            let problems = lines.flat_map(|(number, line)| {
                let commands: Vec<_> = line.split("&&").map(|part| part.trim_matches([' ', '(', ')'])).collect();
                let problems = commands.into_iter().filter_map(|command| packages.problem(command));
                problems.map(|what| Problem::new("commands", &page.path, number, what)).collect::<Vec<_>>()
            });
            problems.collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<(usize, String)> {
        let targets = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let packages = Packages(BTreeMap::from([
            ("showcase".into(), targets(&["sensor"])),
            ("host-tests".into(), targets(&["reconnect"])),
        ]));
        let problems = check(&Tree::of([("docs/a.md", page)]), &packages);
        problems.into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn commands_that_name_what_exists_are_good() {
        for page in [
            "```sh\ncargo run -p showcase --bin sensor -- --bin other\n```\n",
            "```sh\n(cd a && cargo test --test reconnect)   # -p nothing\n```\n",
            "Run `cargo xtask lint --docs`, `cargo test -p showcase` or `cargo add x -p y`.\n",
            "```sh\ncargo xtask test -- -p host-tests --test reconnect\n```\n",
            "```text\ncargo run -p nothing\n```\n",
        ] {
            assert_eq!(found(page), [], "{page}");
        }
    }

    #[test]
    fn commands_that_cannot_work_are_told() {
        for (page, line, words) in [
            ("A\n\n```sh\nls\ncargo run -p shop -- a\n```\n", 5, "no package `shop`"),
            ("```sh\ncargo run -p showcase --bin motor\n```\n", 2, "`showcase` has no target `motor`"),
            ("```sh\nls && cargo test --test motor\n```\n", 2, "has no target `motor`"),
            ("\nTry `cargo xtask lnit`.\n", 2, "no command `lnit`"),
            ("```sh\ncargo xtask test -- -p shop\n```\n", 2, "no package `shop`"),
        ] {
            let found = found(page);
            assert!(matches!(&found[..], [(number, what)] if *number == line && what.contains(words)), "{found:?}");
        }
    }
}
