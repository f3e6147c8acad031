//! The files of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::error::Result;
use crate::process::read;

/// The folders of Rust sources that have docs or messages for users.
const RUST: [&str; 6] = ["src/", "examples/", "cli/src/", "testing/src/", "xtask/src/", "bench/src/"];

/// A file with text in it.
#[derive(Debug)]
pub(super) struct Source {
    /// Where it is, from the root on, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// All files that git knows, or would add.
#[derive(Debug, Default)]
pub(super) struct Tree {
    sources: Vec<Source>,
    /// Every file, and every folder that has one.
    paths: BTreeSet<String>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let mut tree = Self::default();
        for path in read(&mut git)?.split_terminator('\0') {
            let file = root.join(path);
            // A link is checked where it leads. A file that is deleted and not committed yet cannot be read.
            let bytes = if file.is_symlink() { None } else { fs::read(&file).ok() };
            if file.exists() {
                tree.add(path, bytes.and_then(|bytes| String::from_utf8(bytes).ok()));
            }
        }
        Ok(tree)
    }

    fn add(&mut self, path: &str, text: Option<String>) {
        self.paths.extend(path.match_indices('/').map(|(end, _)| path[..end].to_owned()));
        self.paths.insert(path.into());
        self.sources.extend(text.map(|text| Source { path: path.into(), text }));
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    pub(super) fn markdown(&self) -> impl Iterator<Item = &Source> {
        self.sources().filter(|source| source.is("md"))
    }

    pub(super) fn source(&self, path: &str) -> Option<&Source> {
        self.sources().find(|source| source.path == path)
    }

    /// Whether there is such a file or folder; the empty path is the root.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }
}

impl Source {
    pub(super) fn is(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
    }

    /// Whether it has text for users: a page, the interface, docs, or messages.
    pub(super) fn is_for_users(&self) -> bool {
        let is_rust = self.is("rs") && RUST.iter().any(|folder| self.path.starts_with(folder));
        is_rust || self.is("md") || self.is("wit") || self.path == ".env.example"
    }

    /// The folder that it is in; empty for the root.
    pub(super) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

#[cfg(test)]
impl Tree {
    pub(super) fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add(path, Some(text.into()));
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_files_are_there() {
        let tree = Tree::of([("docs/a/b.md", ""), ("README.md", "")]);
        for path in ["", "docs", "docs/a", "docs/a/b.md", "README.md"] {
            assert!(tree.has(path), "{path}");
        }
        assert!(!tree.has("docs/a/c.md") && !tree.has("doc"));
        assert_eq!(tree.source("docs/a/b.md").unwrap().folder(), "docs/a");
        assert_eq!(tree.source("README.md").unwrap().folder(), "");
    }
}
