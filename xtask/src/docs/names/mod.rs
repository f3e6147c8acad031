//! The same word for the same thing in WIT and in Rust: `pairs.rs` says what corresponds, and where the words differ.

mod items;
mod pairs;

use std::collections::BTreeSet;

use wit_parser::{PackageId, Resolve};

use super::Problem;
use super::tree::Tree;
use items::{constants, functions, kebab, members, named, wit_docs, wit_names};
use pairs::{LISTS, List, PAIRS, Pair, Place};

/// Units, which Rust has in its types.
const UNITS: [&str; 2] = ["-seconds", "-ms"];

/// What the names of functions of a resource begin with that sets options one by one.
const VERBS: [&str; 2] = ["set-", "add-"];

pub(super) fn check(tree: &Tree, interface: &Resolve, package: PackageId) -> Vec<Problem> {
    let mut problems: Vec<_> = PAIRS.iter().flat_map(|pair| pair.check(tree, interface, package)).collect();
    problems.extend(LISTS.iter().flat_map(|list| list.check(tree, interface, package)));
    problems
}

/// A problem of a name in WIT, at the line that has it first behind what it is a part of.
fn problem(tree: &Tree, item: &str, name: &str, what: String) -> Problem {
    let mut parts = item.splitn(3, '.');
    let path = format!("wit/{}.wit", parts.next().unwrap_or_default());
    let item = parts.next().unwrap_or_default();
    let name = parts.next().unwrap_or(name);
    let text = tree.source(&path).map_or("", |source| &source.text);
    let starts =
        |line: &str, name: &str| line.trim_start().strip_prefix(name).is_some_and(|rest| !rest.starts_with('-'));
    let mut lines = text.lines().zip(1..);
    let is_definition = |line: &str| {
        line.trim_start().split_once(' ').is_some_and(|(_, rest)| !line.contains("///") && starts(rest, item))
    };
    let start =
        if item.is_empty() { 1 } else { lines.find(|(line, _)| is_definition(line)).map_or(1, |(_, line)| line) };
    let line = lines.find(|(line, _)| starts(line, name)).map_or(start, |(_, line)| line);
    Problem::new("names", &path, line, what)
}

impl Pair {
    fn check(&self, tree: &Tree, interface: &Resolve, package: PackageId) -> Vec<Problem> {
        let rust: BTreeSet<String> = self.rust.iter().flat_map(|place| place.names(tree)).collect();
        let wit = wit_names(interface, package, self.wit);
        let places = self.rust.iter().map(Place::to_string).collect::<Vec<_>>().join(", ");
        let problem = |name: &str, what| problem(tree, self.wit, name, what);
        let mut problems = Vec::new();
        for (name, found) in [(self.wit, wit.len()), (places.as_str(), rust.len())] {
            if found == 0 {
                problems
                    .push(problem("", format!("{name} has no names: xtask/src/docs/names/pairs.rs is out of date")));
            }
        }
        for name in &wit {
            let exception = self.except.iter().find(|except| except.wit == name);
            let is_same = same_words(name).iter().any(|words| rust.contains(words));
            if !is_same && exception.is_none() {
                problems.push(problem(name, format!("{}.{name} has no namesake in {places}", self.wit)));
            }
            if is_same && exception.is_some() {
                problems.push(problem(name, format!("{}.{name} needs no exception any more", self.wit)));
            }
        }
        for except in self.except {
            let is_gone = |name: &str, is_there: bool| !name.is_empty() && !is_there;
            let is_in_wit = wit.iter().any(|name| name == except.wit);
            if is_gone(except.wit, is_in_wit) || is_gone(except.rust, rust.contains(except.rust)) {
                let what = format!(
                    "{}: an exception for {:?} and {:?}, one of which is gone",
                    self.wit, except.wit, except.rust
                );
                problems.push(problem(except.wit, what));
            }
        }
        if self.both {
            let known: BTreeSet<&str> = self.except.iter().map(|except| except.rust).collect();
            let wit: BTreeSet<String> = wit.iter().flat_map(|name| same_words(name)).collect();
            for name in rust.iter().filter(|name| !wit.contains(*name) && !known.contains(name.as_str())) {
                problems.push(problem("", format!("{} has nothing for `{name}` of {places}", self.wit)));
            }
        }
        problems
    }
}

impl List {
    fn check(&self, tree: &Tree, interface: &Resolve, package: PackageId) -> Vec<Problem> {
        let docs = wit_docs(interface, package, self.wit);
        let wit: BTreeSet<String> = named(&docs).into_iter().collect();
        let rust: BTreeSet<String> =
            self.rust.iter().flat_map(|(path, behind)| constants(text(tree, path), behind)).collect();
        let is_excepted = |name: &String| self.except.iter().any(|(known, _)| known == name);
        let missing = rust.difference(&wit).filter(|name| !is_excepted(name));
        let missing = missing.map(|name| format!("{}: the docs do not name `{name}`, which Rust has", self.wit));
        let unknown = wit.difference(&rust).filter(|name| !is_excepted(name));
        let unknown = unknown.map(|name| format!("{}: the docs name `{name}`, which Rust does not have", self.wit));
        let unused = self.except.iter().filter(|(name, _)| rust.contains(*name) == wit.contains(*name));
        let unused = unused.map(|(name, _)| format!("{}: `{name}` needs no exception any more", self.wit));
        missing.chain(unknown).chain(unused).map(|what| problem(tree, self.wit, "", what)).collect()
    }
}

impl Place {
    fn names(&self, tree: &Tree) -> Vec<String> {
        match *self {
            Self::Members(path, name) => members(text(tree, path), name),
            Self::Functions(path, name) => functions(text(tree, path), name),
        }
    }
}

fn text<'a>(tree: &'a Tree, path: &str) -> &'a str {
    tree.source(path).map_or("", |source| &source.text)
}

/// A name of WIT as Rust may have it: without the unit, and without the verb.
fn same_words(name: &str) -> Vec<String> {
    let bare = VERBS.iter().find_map(|verb| name.strip_prefix(verb)).unwrap_or(name);
    let units = UNITS.iter().filter_map(|unit| bare.strip_suffix(unit));
    [name, bare].into_iter().chain(units).map(kebab).collect()
}

#[cfg(test)]
mod tests {
    use super::pairs::Except;
    use super::*;

    const WIT: &str = "package a:b;\n\ninterface mqtt {\n  record said {\n    /// What it is.\n    ///\n    \
                       /// Names: `good`, `gone` (see `x`).\n    topic: string,\n    keep-alive-seconds: u16,\n  }\n  \
                       resource options {\n    set-client-id: func(id: string);\n  }\n}\n";
    const RUST: &str = "pub struct Said<'a> {\n    /// Docs.\n    pub topic: &'a str,\n    pub keep_alive: u16,\n}\n\n\
                        impl Said<'_> {\n    pub const fn client_id(self) {}\n    const NAME: X = (Kind, \"good\");\n}\n";
    const PAIR: Pair =
        Pair { wit: "mqtt.said", rust: &[Place::Members("src/said.rs", "Said")], both: true, except: &[] };
    const LIST: List = List { wit: "mqtt.said.topic", rust: &[("src/said.rs", "(Kind, ")], except: &[] };

    fn found(
        wit: &str,
        rust: &str,
        check: impl Fn(&Tree, &Resolve, PackageId) -> Vec<Problem>,
    ) -> Vec<(usize, String)> {
        let tree = Tree::of([("wit/mqtt.wit", wit), ("src/said.rs", rust)]);
        let mut interface = Resolve::default();
        let package = interface.push_str("mqtt.wit", wit).unwrap();
        check(&tree, &interface, package).into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn same_words_are_good() {
        assert_eq!(found(WIT, RUST, |tree, wit, package| PAIR.check(tree, wit, package)), []);
        let options = Pair { wit: "mqtt.options", rust: &[Place::Functions("src/said.rs", "Said")], ..PAIR };
        assert_eq!(found(WIT, RUST, |tree, wit, package| options.check(tree, wit, package)), []);
    }

    #[test]
    fn other_words_are_bad_in_either_direction() {
        let found =
            found(&WIT.replace("topic:", "subject:"), RUST, |tree, wit, package| PAIR.check(tree, wit, package));
        assert_eq!(found[0], (8, "mqtt.said.subject has no namesake in Said of src/said.rs".into()));
        assert_eq!(found[1].1, "mqtt.said has nothing for `topic` of Said of src/said.rs");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn exceptions_are_needed() {
        let pair = Pair { except: &[Except { wit: "subject", rust: "topic", why: "" }], ..PAIR };
        let check = |tree: &Tree, wit: &Resolve, package| pair.check(tree, wit, package);
        assert_eq!(found(&WIT.replace("topic:", "subject:"), RUST, check), []);
        assert!(found(WIT, RUST, check)[0].1.contains("one of which is gone"));
    }

    #[test]
    fn lists_in_docs_are_complete() {
        let found = |wit: &str, list: List| found(wit, RUST, |tree, wit, package| list.check(tree, wit, package));
        assert_eq!(found(WIT, LIST), [(8, "mqtt.said.topic: the docs name `gone`, which Rust does not have".into())]);
        assert_eq!(found(WIT, List { except: &[("gone", "")], ..LIST }), []);
        let missing = found(&WIT.replace("`good`, ", ""), List { except: &[("gone", "")], ..LIST });
        assert_eq!(missing, [(8, "mqtt.said.topic: the docs do not name `good`, which Rust has".into())]);
    }
}
