//! `docs/conformance.md` says what is true: every test that it names exists, and every statement has its row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many numbered statements Appendix B of the specification has.
const STATEMENTS: usize = 251;

/// The rows of the page: statement, demand, whom it binds, what shows it.
fn rows(page: &str) -> Vec<[&str; 4]> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `MQTT-")?.strip_suffix(" |"))
        .map(|row| row.split(" | ").collect::<Vec<_>>().try_into().expect("four columns"))
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether the file has a test of this name.
fn has_test(file: &str, name: &str) -> bool {
    let lines: Vec<_> = file.lines().map(str::trim).collect();
    let definition = format!("fn {name}(");
    let generic = format!("fn {name}<S: Subject>(");
    let is_for_each_subject = file
        .split("each_subject!(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .any(|tests| tests.split([',', ';', ':']).any(|test| test.trim() == name));
    lines.iter().enumerate().any(|(index, line)| {
        line.starts_with(&definition) && lines[..index].last() == Some(&"#[test]")
            || line.starts_with(&generic) && is_for_each_subject
    })
}

fn page() -> String {
    fs::read_to_string(root().join("docs/conformance.md")).expect("the page")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

#[test]
fn every_statement_has_its_row() {
    let page = page();
    let rows = rows(&page);
    let statements: BTreeSet<_> = rows.iter().map(|[statement, ..]| statement).collect();
    assert_eq!((rows.len(), statements.len()), (STATEMENTS, STATEMENTS));
    for [statement, demand, binds, shown] in rows {
        assert!(!demand.is_empty() && ["client", "codec", "server", "both"].contains(&binds), "{statement}");
        let is_shown = quoted(shown).any(|quoted| quoted.contains("::"));
        assert!(is_shown || shown.starts_with("n/a: ") || shown.starts_with("open: "), "{statement}: {shown}");
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let page = page();
    let mut named = 0;
    for [statement, .., shown] in rows(&page) {
        for (path, test) in quoted(shown).filter_map(|quoted| quoted.split_once(".rs::")) {
            let path = format!("{path}.rs");
            let file = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(has_test(&file, test), "{statement} names {test}, which {path} does not have");
            named += 1;
        }
    }
    assert!(named > STATEMENTS, "{named}");
}

#[test]
fn summary_counts_what_is_there() {
    let page = page();
    let rows = rows(&page);
    let count = |prefix: &str| rows.iter().filter(|[.., shown]| shown.starts_with(prefix)).count();
    let (inapplicable, open) = (count("n/a: "), count("open: "));
    // Each says what is done instead, and how to follow the letter.
    let deviating: Vec<_> = rows.iter().filter(|[.., shown]| shown.contains("deviation: ")).collect();
    for [statement, .., shown] in &deviating {
        assert!(shown.contains("`Options::"), "{statement} has no option that follows the letter: {shown}");
    }
    let (deviations, s) = (deviating.len(), if deviating.len() == 1 { "" } else { "s" });
    let shown = STATEMENTS - inapplicable - open - deviations;
    let summary = format!(
        "{STATEMENTS} statements: {shown} shown, {deviations} deviation{s}, {inapplicable} not applicable, {open} open."
    );
    assert!(page.contains(&summary), "the page should say: {summary}");
}
