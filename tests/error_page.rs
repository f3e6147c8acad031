//! `docs/errors.md` lists every name that a failure or an event can have, each once and with its kind, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Names = BTreeMap<String, String>;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The name in quotes that a text begins with, if it does.
fn quoted(text: &str) -> Option<&str> {
    let (name, _) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    is_name(name).then_some(name)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The pairs `(Kind, "name")` of the crate.
fn of_errors() -> Names {
    let source = read("src/error.rs");
    let pairs = source.split('(').filter_map(|text| {
        let (kind, rest) = text.split_once(", ")?;
        let kind = kind.trim_start_matches("ErrorKind::");
        let is_kind = kind.chars().all(|c| c.is_ascii_alphabetic());
        Some((quoted(rest)?.to_owned(), kind.to_owned())).filter(|_| is_kind)
    });
    pairs.collect()
}

/// Those that the component adds.
fn of_the_component() -> Names {
    let source = read("src/component/convert.rs") + &read("src/component/export.rs");
    let wrong_calls = source.split("wrong_call(").filter_map(|text| Some((quoted(text)?, "WrongCall")));
    let others = source.split("failure(wit::FailureKind::").filter_map(|text| {
        let (kind, rest) = text.split_once(", ")?;
        Some((quoted(rest)?, kind))
    });
    wrong_calls.chain(others).map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

fn of_events() -> BTreeSet<String> {
    let source = read("src/engine/event.rs");
    source.split("=> ").filter_map(|text| Some(quoted(text)?.to_owned())).collect()
}

/// The first two cells of the rows that begin with a name.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name, cells.next()?)).filter(|_| is_name(name))
    });
    rows.collect()
}

#[test]
fn page_lists_every_failure_once_with_its_kind_and_no_other() {
    let page = read("docs/errors.md");
    let (page, _) = page.split_once("\n## Events\n").unwrap();
    let rows = rows(page);
    let listed: Names = rows.iter().map(|&(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    assert_eq!(listed.len(), rows.len(), "each once");
    let mut names = of_errors();
    assert!(names.len() > 50, "{names:?}");
    names.extend(of_the_component());
    let wrong: Vec<_> = listed.iter().filter(|(name, kind)| names.get(*name) != Some(kind)).collect();
    let missing: Vec<_> = names.keys().filter(|name| !listed.contains_key(*name)).collect();
    assert!(wrong.is_empty() && missing.is_empty(), "wrong: {wrong:?}, missing: {missing:?}");
}

#[test]
fn page_lists_every_event_once_and_no_other() {
    let page = read("docs/errors.md");
    let (_, page) = page.split_once("\n## Events\n").unwrap();
    let rows = rows(page);
    let listed: BTreeSet<_> = rows.iter().map(|&(name, _)| name.to_owned()).collect();
    assert_eq!(listed.len(), rows.len(), "each once");
    assert!(listed.len() > 8, "{listed:?}");
    assert_eq!(listed, of_events());
}

#[test]
fn interface_lists_every_name() {
    let interface = read("wit/mqtt.wit");
    let mut names = of_errors();
    names.extend(of_the_component());
    // Only the async client has a task that can end.
    assert!(names.remove("stopped").is_some());
    // Components have snapshots, and no store.
    let all = names.len();
    names.retain(|name, _| !name.starts_with("store-"));
    assert!(names.len() < all);
    // Nor do they stream payloads.
    let all = names.len();
    names.retain(|name, _| !name.starts_with("stream-"));
    assert!(names.len() < all);
    for name in names.into_keys().chain(of_events()) {
        assert!(interface.contains(&format!("`{name}`")), "{name}");
    }
}
