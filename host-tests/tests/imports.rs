//! Least privilege and size: what the component asks of its host, and how many bytes it takes.

use host_tests::components::load;
use host_tests::runtime::Runtime;

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
    let imports = |name| Runtime::new(&load(name).unwrap()).unwrap().imports();
    let (plain, mut tls) = (imports("mqtt.wasm"), imports("mqtt-tls.wasm"));
    let is_date = |import: &String| import.starts_with("wasi:clocks/wall-clock@");
    assert!(tls.iter().any(is_date), "{tls:?}");
    tls.retain(|import| !is_date(import));
    assert_eq!(tls, plain);
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
    assert_eq!(components, 6);
}
