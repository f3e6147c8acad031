//! The components under test: where they are, how they are built when they are not, and how two become one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use wac_graph::types::{BorrowedPackageKey, Package};
use wac_graph::{CompositionGraph, EncodeOptions};
use wac_parser::Document;
use wasm_compose::composer::ComponentComposer;
use wasm_compose::config::Config;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The bytes of a component below `target/components`, for example `mqtt.wasm` or `guests/echo.wasm`.
///
/// # Errors
/// As [`folder`], and when it makes no such component.
pub fn load(name: &str) -> Result<Vec<u8>> {
    let path = folder()?.join(name);
    std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// The component with TLS that this engine runs fastest.
///
/// # Errors
/// When it runs none, or none is in the folder.
pub fn with_tls(engine: &Engine, folder: &Path) -> wasmtime::Result<Component> {
    // An engine without wide arithmetic refuses it.
    let wide = Component::from_file(engine, folder.join("mqtt-tls-wide.wasm"));
    wide.or_else(|_| Component::from_file(engine, folder.join("mqtt-tls.wasm")))
}

/// Where the components are. The first call of a process builds all of them, unless `MQTT_WASI_COMPONENTS` names the
/// folder.
///
/// # Errors
/// When the build fails.
pub fn folder() -> Result<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER
        .get_or_init(|| match std::env::var_os("MQTT_WASI_COMPONENTS") {
            Some(folder) => Ok(folder.into()),
            None => build().map_err(|error| format!("{error:#}")),
        })
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(folder)
}

/// Plugs the exports of `plug` into the imports of `socket`, as `wac plug socket.wasm --plug plug.wasm` does.
///
/// # Errors
/// When either is no component, or `plug` exports nothing that `socket` imports.
pub fn compose(socket: &[u8], plug: &[u8]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, bytes: &[u8]| -> Result<_> {
        let package = Package::from_bytes(name, None, bytes.to_vec(), graph.types_mut())?;
        Ok(graph.register_package(package)?)
    };
    let plug = register("mqtt-wasi:plug", plug)?;
    let socket = register("mqtt-wasi:socket", socket)?;
    wac_graph::plug(&mut graph, vec![plug], socket)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

/// The same as `wasm-tools compose socket.wasm -d plug.wasm` does it, in this folder.
///
/// # Errors
/// When either is no component, or they do not fit.
pub fn compose_as_wasm_tools(socket: &[u8], plug: &[u8], folder: &Path) -> Result<Vec<u8>> {
    let (socket_file, plug_file) = (folder.join("socket.wasm"), folder.join("plug.wasm"));
    std::fs::create_dir_all(folder)?;
    std::fs::write(&socket_file, socket)?;
    std::fs::write(&plug_file, plug)?;
    let config = Config { definitions: vec![plug_file], ..Config::default() };
    ComponentComposer::new(&socket_file, &config).compose()
}

/// A program of `examples/showcase`, ready to be run. The bridge is composed with two instances of `mqtt.wasm`, as
/// `wac compose` does it by its document.
///
/// # Errors
/// When there is no such component, or it does not fit.
pub fn showcase(name: &str) -> Result<Vec<u8>> {
    let program = load(&format!("showcase/{name}.wasm"))?;
    if name != "bridge" {
        return Ok(program);
    }
    let document = include_str!("../../examples/showcase/bridge/bridge.wac");
    compose_by(document, [("example:bridge", program), ("mqtt-wasi:mqtt", load("mqtt.wasm")?)])
}

/// Composes components as a document says, as `wac compose` does: each has the name that the document gives it.
///
/// # Errors
/// When the document cannot be read, or they do not fit.
pub fn compose_by<const N: usize>(document: &str, components: [(&str, Vec<u8>); N]) -> Result<Vec<u8>> {
    let document = Document::parse(document)?;
    let key = |name| BorrowedPackageKey { name, version: None };
    let packages = components.into_iter().map(|(name, bytes)| (key(name), bytes)).collect();
    Ok(document.resolve(packages)?.encode(EncodeOptions::default())?)
}

fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace's root")?;
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "xtask", "--", "build", "--quiet"])
        .current_dir(root)
        .status()
        .context("running cargo xtask build")?;
    ensure!(status.success(), "cargo xtask build failed: run it by hand to see why");
    Ok(root.join("target/components"))
}
