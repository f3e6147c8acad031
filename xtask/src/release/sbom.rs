//! The list of what a package depends on, in CycloneDX's JSON: without what only its tests need.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Release, unusable};
use crate::error::Result;
use crate::process::read;
use crate::workspace::cargo;

/// What a package is made of, with every feature.
pub(super) fn of(package: &str, release: &Release) -> Result<String> {
    let metadata = read(&mut cargo("metadata --format-version 1 --locked --all-features"))?;
    let metadata = serde_json::from_str(&metadata).map_err(|error| unusable("cargo", error))?;
    Ok(format!("{:#}\n", document(&metadata, package, release)))
}

fn document(metadata: &Value, package: &str, release: &Release) -> Value {
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"]["nodes"]).filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let root = packages.iter().find(|(_, found)| found["name"] == package).map(|(id, _)| *id).unwrap_or_default();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if edges.contains_key(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        let needed: BTreeSet<&str> = list(&node["deps"])
            .filter(|dependency| list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev"))
            .filter_map(|dependency| dependency["pkg"].as_str())
            .collect();
        open.extend(&needed);
        edges.insert(id, needed);
    }
    let reference = |id: &str| packages.get(id).map(|package| purl(package)).unwrap_or_default();
    let mut components: Vec<Value> = edges.keys().filter(|id| **id != root).map(|id| component(packages[id])).collect();
    components.sort_by_key(|component| component["bom-ref"].to_string());
    let mut dependencies: Vec<Value> = edges
        .iter()
        .map(|(id, needed)| {
            let needed: BTreeSet<String> = needed.iter().map(|id| reference(id)).collect();
            json!({ "ref": reference(id), "dependsOn": needed })
        })
        .collect();
    dependencies.sort_by_key(|dependency| dependency["ref"].to_string());
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": release.time,
            "component": packages.get(root).map(|package| component(package)),
            "properties": [{ "name": "git:revision", "value": release.revision }],
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn component(package: &Value) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    });
    if let Some(licence) = package["license"].as_str() {
        // An older way to write a choice.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    component
}

/// The name that all tools have for a package of cargo's.
fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::super::tests::release;
    use super::*;

    #[test]
    fn dependencies_are_listed_without_those_of_tests() {
        let package = |name: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let dependency = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let packages = ["a", "b", "c", "tester", "unused"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": { "nodes": [
                { "id": "a", "deps": [dependency("b", Value::Null), dependency("tester", "dev".into())] },
                { "id": "b", "deps": [dependency("c", "build".into())] },
                { "id": "c", "deps": [] },
                { "id": "tester", "deps": [] },
                { "id": "unused", "deps": [] },
            ] },
        });
        let document = document(&metadata, "a", &release());
        let names: Vec<_> = list(&document["components"]).map(|component| text(&component["name"])).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(document["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["metadata"]["component"]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(document["dependencies"][0]["dependsOn"], json!(["pkg:cargo/b@1.0.0"]));
    }
}
