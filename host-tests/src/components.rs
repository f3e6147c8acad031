//! The components under test: where they are, how they are built when they are not, and how two become one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasm_compose::composer::ComponentComposer;
use wasm_compose::config::Config;

/// The bytes of a component below `target/components`, for example `mqtt.wasm` or `guests/echo.wasm`. The first call
/// of a process builds all of them, unless `MQTT_WASI_COMPONENTS` names the folder where they are.
///
/// # Errors
/// When the build fails or makes no such component.
pub fn load(name: &str) -> Result<Vec<u8>> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER
        .get_or_init(|| match std::env::var_os("MQTT_WASI_COMPONENTS") {
            Some(folder) => Ok(folder.into()),
            None => build().map_err(|error| format!("{error:#}")),
        })
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let path = folder.join(name);
    std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
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
