//! A folder per component that tools push to a registry for containers, laid out as `wkg` would have it there: a
//! manifest, a configuration that names imports and exports, and the component as the only layer.

use serde_json::{Value, json};

use super::{Files, Release, sha256};
use crate::error::{Error, Result};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";

/// Adds the layout of a component, or of a package of interfaces.
pub(super) fn layout(files: &mut Files, release: &Release, title: &str, description: &str, wasm: &[u8]) -> Result<()> {
    let folder = format!("oci/{title}");
    let (exports, imports) = interfaces(wasm)?;
    let config = json!({
        "created": release.time,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [digest(wasm)],
        "component": { "exports": exports, "imports": imports, "target": null },
    });
    let config = bytes(&config);
    let annotations = json!({
        "org.opencontainers.image.created": release.time,
        "org.opencontainers.image.description": description,
        "org.opencontainers.image.licenses": release.licence,
        "org.opencontainers.image.revision": release.revision,
        "org.opencontainers.image.source": release.source,
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.version": release.version,
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, wasm)],
        "annotations": annotations,
    });
    let manifest = bytes(&manifest);
    let mut described = descriptor(MANIFEST, &manifest);
    described["annotations"] = json!({ "org.opencontainers.image.ref.name": release.version });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [described] });
    for blob in [wasm, &config, &manifest] {
        files.insert(format!("{folder}/blobs/sha256/{}", sha256(blob)), blob.to_vec());
    }
    files.insert(format!("{folder}/index.json"), bytes(&index));
    files.insert(format!("{folder}/oci-layout"), bytes(&json!({ "imageLayoutVersion": "1.0.0" })));
    Ok(())
}

/// The names of what it exports and imports, in order. A package of interfaces exports them and its worlds.
fn interfaces(wasm: &[u8]) -> Result<(Vec<String>, Vec<String>)> {
    let decoded = wit_component::decode(wasm).map_err(|error| Error::Wasm(format!("{error:#}")))?;
    let (mut exports, mut imports) = (Vec::new(), Vec::new());
    match decoded {
        wit_component::DecodedWasm::Component(resolve, world) => {
            let world = &resolve.worlds[world];
            exports.extend(world.exports.keys().map(|key| resolve.name_world_key(key)));
            imports.extend(world.imports.keys().map(|key| resolve.name_world_key(key)));
        }
        wit_component::DecodedWasm::WitPackage(resolve, package) => {
            let package = &resolve.packages[package];
            exports.extend(package.interfaces.values().filter_map(|interface| resolve.id_of(*interface)));
            exports.extend(package.worlds.keys().map(|world| package.name.interface_id(world)));
        }
    }
    exports.sort();
    imports.sort();
    Ok((exports, imports))
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", sha256(blob))
}

/// Without spaces, and with sorted keys.
fn bytes(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use wit_parser::Resolve;

    use super::super::tests::release;
    use super::*;

    fn package() -> Vec<u8> {
        let mut resolve = Resolve::default();
        let text = "package a:b@0.1.0; interface i { f: func(); } world w { export i; }";
        let package = resolve.push_str("a.wit", text).unwrap();
        wit_component::encode(&resolve, package, false).unwrap()
    }

    #[test]
    fn every_blob_is_there_under_its_hash() {
        let wasm = package();
        let mut files = Files::new();
        layout(&mut files, &release(), "b", "An interface", &wasm).unwrap();
        assert_eq!(files.len(), 5);
        for (path, blob) in files.iter().filter(|(path, _)| path.contains("/blobs/")) {
            assert!(path.ends_with(&sha256(blob)), "{path}");
        }
        let read = |path: &str| -> Value { serde_json::from_slice(&files[path]).unwrap() };
        let blob = |descriptor: &Value| {
            let path = format!("oci/b/blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"));
            assert_eq!(descriptor["size"], files[&path].len());
            files[&path].clone()
        };
        let manifest: Value = serde_json::from_slice(&blob(&read("oci/b/index.json")["manifests"][0])).unwrap();
        assert_eq!(blob(&manifest["layers"][0]), wasm);
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(config["component"]["exports"], json!(["a:b/i@0.1.0", "a:b/w@0.1.0"]));
        assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);
        assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "0.3.0");
    }

    #[test]
    fn same_component_has_the_same_layout() {
        let make = || {
            let mut files = Files::new();
            layout(&mut files, &release(), "b", "An interface", &package()).unwrap();
            files
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn what_is_no_component_is_refused() {
        assert!(layout(&mut Files::new(), &release(), "b", "", b"no wasm").is_err());
    }
}
