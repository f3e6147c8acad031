#!/usr/bin/env bash
# One would guess: two components built against two patch releases of the same WIT packages fit together if the newer one
# asks for nothing that the older one lacks, since 0.1.0 and 0.1.1 are compatible and wasmtime links them. If it does ask
# for more, the tool that plugs them together says so and fails. And what a tool writes is a valid component.
#
# What happens:
# - wac plug takes compatible versions. But where an interface does not fit, here because the application wants a function
#   that came with 0.1.1, it leaves this one interface out without a word, and succeeds as long as any other interface
#   fits. The result still imports the interface, and the first to tell is whoever instantiates it.
# - wasm-compose (wasm-tools compose) takes only the very same version of an interface. But it takes an interface of the
#   same version that uses a resource of another package, and there it does not look at the version: with poll 0.2.0
#   on one side and 0.2.1 on the other it connects the two and returns a component that is not valid. (The command
#   wasm-tools compose validates what it has written, and fails then.)
#
# Versions: wac-graph 0.12.0 (wac plug), wasm-compose 0.263.0; wit-component, wit-parser and wasmparser 0.263.0 make and
# check the components.
#
# Why it matters: an MQTT component and its application are seldom built on the same day, and both get their wasi:io from
# the toolchain that built them: `pollable` of 0.2.x on one side, of 0.2.y on the other. After wac plug, look which
# imports are left. With wasm-compose, both sides need the same patch release of everything, or wac instead.
#
# Needs cargo. Nothing is run in WebAssembly.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
# Errors are compared, and so without traces.
export RUST_BACKTRACE=0
mkdir src

cat > Cargo.toml <<'TOML'
[package]
name = "compose"
version = "0.0.0"
edition = "2024"

[dependencies]
wac-graph = "=0.12.0"
wasm-compose = { version = "=0.263.0", default-features = false }
wasmparser = "=0.263.0"
wit-component = { version = "=0.263.0", features = ["dummy-module"] }
wit-parser = "=0.263.0"

[profile.dev]
debug = false

[workspace]
TOML

cat > src/main.rs <<'RUST'
use std::error::Error;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasm_compose::composer::ComponentComposer;
use wasm_compose::config::Config;
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

/// What one side was built against.
struct Built {
    poll: &'static str,
    mqtt: &'static str,
}

/// A component of this world. Its functions do nothing.
fn component(world: &str, built: &Built) -> Vec<u8> {
    let Built { poll, mqtt } = built;
    let new_function = if *mqtt == "0.1.0" { "" } else { "unsubscribe: func(filter: string);" };
    let wit = format!(
        "package demo:mqtt@{mqtt};
        interface client {{
          publish: func(topic: string) -> u32;
          {new_function}
        }}
        interface readiness {{
          use demo:io/poll@{poll}.{{pollable}};
          subscribe: func() -> pollable;
        }}
        interface app {{ run: func(); }}
        world provider {{ export client; export readiness; }}
        world application {{ import client; import readiness; export app; }}
        package demo:io@{poll} {{
          interface poll {{ resource pollable {{ block: func(); }} }}
        }}"
    );
    let mut resolve = Resolve::default();
    let package = resolve.push_str("demo.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

fn wac_plug(application: &[u8], provider: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("demo:provider", None, provider.to_vec(), graph.types_mut())?;
    let provider = graph.register_package(package)?;
    let package = Package::from_bytes("demo:application", None, application.to_vec(), graph.types_mut())?;
    let application = graph.register_package(package)?;
    wac_graph::plug(&mut graph, vec![provider], application)?;
    Ok(graph.encode(EncodeOptions::default())?)
}

fn wasm_compose(application: &[u8], provider: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    std::fs::write("application.wasm", application)?;
    std::fs::write("provider.wasm", provider)?;
    let config = Config { definitions: vec!["provider.wasm".into()], ..Config::default() };
    Ok(ComponentComposer::new("application.wasm".as_ref(), &config).compose()?)
}

fn outcome(composed: Result<Vec<u8>, Box<dyn Error>>) -> String {
    let composed = match composed {
        Ok(composed) => composed,
        Err(error) => return format!("fails: {error}"),
    };
    if let Err(error) = Validator::new_with_features(WasmFeatures::all()).validate_all(&composed) {
        let message = error.message().lines().last().unwrap_or_default().to_owned();
        let reason = message.split(" (").next().unwrap_or_default();
        return format!("succeeds, invalid component: {reason}");
    }
    let mut imports = Vec::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(&composed) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    format!("succeeds, imports left: {}", imports.join(" "))
}

fn main() {
    let old = Built { poll: "0.2.0", mqtt: "0.1.0" };
    let cases = [
        ("both built alike", &old, &old),
        ("the provider has a newer mqtt", &old, &Built { poll: "0.2.0", mqtt: "0.1.1" }),
        ("the application wants a function of a newer mqtt", &Built { poll: "0.2.0", mqtt: "0.1.1" }, &old),
        ("the application has a newer poll", &Built { poll: "0.2.1", mqtt: "0.1.0" }, &old),
        ("the provider has a newer poll", &old, &Built { poll: "0.2.1", mqtt: "0.1.0" }),
    ];
    for (name, application, provider) in cases {
        let (application, provider) = (component("application", application), component("provider", provider));
        println!("{name}");
        println!("  wac plug     {}", outcome(wac_plug(&application, &provider)));
        println!("  wasm-compose {}", outcome(wasm_compose(&application, &provider)));
    }
}
RUST

cat > expected <<'TABLE'
both built alike
  wac plug     succeeds, imports left: demo:io/poll@0.2.0
  wasm-compose succeeds, imports left: demo:io/poll@0.2.0
the provider has a newer mqtt
  wac plug     succeeds, imports left: demo:io/poll@0.2.0
  wasm-compose fails: no dependencies of component `application.wasm` were found
the application wants a function of a newer mqtt
  wac plug     succeeds, imports left: demo:mqtt/client@0.1.1 demo:io/poll@0.2.0
  wasm-compose fails: no dependencies of component `application.wasm` were found
the application has a newer poll
  wac plug     succeeds, imports left: demo:io/poll@0.2.1
  wasm-compose succeeds, invalid component: resource types are not the same
the provider has a newer poll
  wac plug     succeeds, imports left: demo:io/poll@0.2.1
  wasm-compose succeeds, invalid component: resource types are not the same
TABLE

cargo build --quiet
cargo tree --quiet --depth 1 --prefix none | grep -E '^(wac-graph|wasm-compose) '
target/debug/compose > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
