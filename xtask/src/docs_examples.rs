//! Looks for public items of the crate without an example in their documentation, in what rustdoc writes as JSON.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::error::{At, Error, Result};
use crate::process::{run, step};
use crate::workspace::{cargo, target};

/// What docs.rs builds.
const COMMAND: &str = "rustdoc --locked --quiet -p mqtt-wasi --features bulk,json,proxy,scram,socket-options,store,stream,tls,tokio,tracing,ws -- \
                       -Zunstable-options --output-format=json";

/// What needs an example. Fields, variants, constants and aliases are shown with the types that they belong to, and
/// methods of traits with the traits.
const KINDS: [&str; 5] = ["struct", "enum", "union", "trait", "function"];

/// Fails for public items without an example.
pub(crate) fn check() -> Result<()> {
    step("looking for public items without an example");
    // The variable, which lets a stable rustdoc write JSON, would have dependencies built again for everything else.
    let folder = target().join("docs-examples");
    run(cargo(COMMAND).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &folder))?;
    let file = folder.join("doc/mqtt_wasi.json");
    let json = fs::read_to_string(&file).at(&file)?;
    let documentation = serde_json::from_str(&json).map_err(|error| Error::Rustdoc(error.to_string()))?;
    let items = public_items(&documentation).ok_or_else(|| Error::Rustdoc("not the JSON that was expected".into()))?;
    let without: Vec<_> = items.iter().filter(|item| !item.has_example).collect();
    for item in &without {
        eprintln!("{}: {} has no example", item.place, item.path);
    }
    if without.is_empty() { Ok(()) } else { Err(Error::NoExample { items: without.len() }) }
}

#[derive(Debug, PartialEq, Eq)]
struct Item {
    path: String,
    /// File and line.
    place: String,
    has_example: bool,
}

/// All public items that need an example; `None` if the JSON is of another format.
fn public_items(documentation: &Value) -> Option<Vec<Item>> {
    let index = documentation.get("index")?;
    let mut walk = Walk { index, seen: BTreeSet::new(), items: Vec::new() };
    walk.visit(documentation.get("root")?, "");
    (!walk.items.is_empty()).then_some(walk.items)
}

struct Walk<'a> {
    index: &'a Value,
    /// What is exported twice is looked at once.
    seen: BTreeSet<String>,
    items: Vec<Item>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, id: &Value, path: &str) {
        let Some((item, kind, inner)) = self.find(id) else { return };
        if kind == "use" {
            return self.visit(&inner["id"], path);
        }
        if !self.seen.insert(id.to_string()) {
            return;
        }
        let name = item["name"].as_str().unwrap_or_default();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") };
        if KINDS.contains(&kind) {
            let (file, line) = (item["span"]["filename"].as_str(), item["span"]["begin"][0].as_u64());
            self.items.push(Item {
                path: path.clone(),
                place: format!("{}:{}", file.unwrap_or_default(), line.unwrap_or_default()),
                has_example: item["docs"].as_str().is_some_and(has_example),
            });
        }
        for member in ids(&inner["items"]).filter(|_| kind == "module") {
            self.visit(member, &path);
        }
        for block in ids(&inner["impls"]).filter(|_| kind != "trait") {
            let Some((_, "impl", block)) = self.find(block) else { continue };
            for method in ids(&block["items"]).filter(|_| block["trait"].is_null()) {
                self.visit(method, &path);
            }
        }
    }

    /// An item of this crate, with its kind and what there is of that kind alone.
    fn find(&self, id: &Value) -> Option<(&'a Value, &'a str, &'a Value)> {
        let item = self.index.get(id.to_string().trim_matches('"'))?;
        let (kind, inner) = item.get("inner")?.as_object()?.iter().next()?;
        Some((item, kind, inner))
    }
}

/// Whether there is a block of code that is no drawing.
fn has_example(docs: &str) -> bool {
    let mut is_open = false;
    docs.lines().filter_map(|line| line.trim_start().strip_prefix("```")).any(|language| {
        is_open = !is_open;
        is_open && language != "text"
    })
}

fn ids(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_wherever_they_are_exported_from() {
        let json = r#"{
            "root": 0,
            "index": {
                "0": {"name": "c", "docs": "", "span": null, "inner": {"module": {"items": [1, 2, 6]}}},
                "1": {"name": null, "docs": null, "span": null, "inner": {"use": {"id": 3}}},
                "2": {"name": "m", "docs": "", "span": null, "inner": {"module": {"items": [1]}}},
                "3": {
                    "name": "S", "docs": "```\n```", "span": {"filename": "src/s.rs", "begin": [7, 1]},
                    "inner": {"struct": {"impls": [4, 7]}}
                },
                "4": {"name": null, "docs": null, "span": null, "inner": {"impl": {"trait": null, "items": [5]}}},
                "5": {"name": "f", "docs": "```text\n```", "span": null, "inner": {"function": {}}},
                "6": {"name": "C", "docs": "", "span": null, "inner": {"constant": {}}},
                "7": {"name": null, "docs": null, "span": null, "inner": {"impl": {"trait": {"id": 9}, "items": [8]}}},
                "8": {"name": "g", "docs": "", "span": null, "inner": {"function": {}}}
            }
        }"#;
        let item = |path: &str, place: &str, has_example| Item { path: path.into(), place: place.into(), has_example };
        let expected = [item("c::S", "src/s.rs:7", true), item("c::S::f", ":0", false)];
        assert_eq!(public_items(&serde_json::from_str(json).unwrap()).unwrap(), expected);
    }

    #[test]
    fn other_formats_are_told() {
        assert_eq!(public_items(&Value::Null), None);
        assert_eq!(public_items(&serde_json::json!({"root": 0, "index": {}})), None);
    }
}
