//! Least privilege and size: what the component asks of its host, and how many bytes it takes.

use host_tests::components::{folder, load, with_tls};
use host_tests::runtime::Runtime;
use wasmtime::{Config, Engine};

/// All that `mqtt.wasm` may ask for.
const ALLOWED: [&str; 4] = ["wasi:clocks/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// What is counted, and held to in CI: the sizes are among it.
const COUNTS: &str = include_str!("../../bench/counts.txt");

/// How much larger than committed a component may be with another version of the compiler, in percent.
const TOLERANCE: usize = 5;

#[test]
fn component_imports_sockets_clocks_streams_and_nothing_else() {
    let imports = Runtime::new(&load("mqtt.wasm").unwrap()).unwrap().imports();
    assert!(imports.iter().any(|import| import.starts_with("wasi:sockets/tcp@")), "{imports:?}");
    for import in &imports {
        assert!(ALLOWED.iter().any(|allowed| import.starts_with(allowed)), "{import} among {imports:?}");
    }
}

#[test]
fn tls_takes_the_date_and_nothing_else() {
    let plain = Runtime::new(&load("mqtt.wasm").unwrap()).unwrap().imports();
    let is_date = |import: &String| import.starts_with("wasi:clocks/wall-clock@");
    for name in ["mqtt-tls.wasm", "mqtt-tls-wide.wasm"] {
        let mut tls = Runtime::wide(&load(name).unwrap()).unwrap().imports();
        assert!(tls.iter().any(is_date), "{name}: {tls:?}");
        tls.retain(|import| !is_date(import));
        assert_eq!(tls, plain, "{name}");
    }
}

/// The one exception: a draft, which a host has to have.
#[test]
fn tls_of_the_host_takes_wasi_tls_and_few_bytes() {
    const MOST: usize = 15_000;
    let (plain, with_tls) = (load("mqtt.wasm").unwrap(), load("mqtt-host-tls.wasm").unwrap());
    let mut imports = Runtime::new(&with_tls).unwrap().imports();
    let is_tls = |import: &String| import == "wasi:tls/types@0.2.0-draft";
    assert!(imports.iter().any(is_tls), "{imports:?}");
    imports.retain(|import| !is_tls(import));
    assert_eq!(imports, Runtime::new(&plain).unwrap().imports());
    let more = with_tls.len() - plain.len();
    assert!(more <= MOST, "{more} bytes more than mqtt.wasm, {MOST} at most");
}

#[test]
fn wide_arithmetic_is_in_the_build_for_it_alone() {
    for name in ["mqtt.wasm", "mqtt-tls.wasm", "mqtt-ws.wasm", "mqtt-wss.wasm"] {
        assert!(Runtime::new(&load(name).unwrap()).is_ok(), "{name} runs in an engine without it");
    }
    let refusal = Runtime::new(&load("mqtt-tls-wide.wasm").unwrap()).err().expect("an engine without it refuses it");
    assert!(format!("{refusal:?}").contains("wide arithmetic"), "{refusal:?}");
}

#[test]
fn host_takes_the_build_with_tls_that_its_engine_runs_fastest() {
    for (is_wide, name) in [(true, "mqtt-tls-wide.wasm"), (false, "mqtt-tls.wasm")] {
        let engine = Engine::new(Config::new().wasm_wide_arithmetic(is_wide)).unwrap();
        let taken = with_tls(&engine, folder().unwrap()).unwrap().serialize().unwrap();
        let expected = engine.precompile_component(&load(name).unwrap()).unwrap();
        assert!(taken == expected, "it is compiled from {name}");
    }
}

#[test]
fn component_for_wasi_0_3_imports_that_alone() {
    let imports = |name| Runtime::p3(&load(name).unwrap()).unwrap().imports();
    let plain = [
        "wasi:clocks/monotonic-clock@0.3.0",
        "wasi:random/random@0.3.0",
        "wasi:sockets/ip-name-lookup@0.3.0",
        "wasi:sockets/types@0.3.0",
    ];
    let sorted = |mut imports: Vec<String>| {
        imports.sort();
        imports
    };
    assert_eq!(sorted(imports("mqtt-p3.wasm")), plain);
    let mut tls = plain.to_vec();
    tls.insert(1, "wasi:clocks/system-clock@0.3.0");
    assert_eq!(sorted(imports("mqtt-p3-tls.wasm")), tls);
}

#[test]
fn components_stay_within_their_size() {
    let mut components = 0;
    for line in COUNTS.lines() {
        let [count, "bytes", name] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        let most = count.parse::<usize>().unwrap() * (100 + TOLERANCE) / 100;
        let size = load(name).unwrap().len();
        assert!(size <= most, "{name} has {size} bytes, {most} at most");
        components += 1;
    }
    assert_eq!(components, 7);
}
