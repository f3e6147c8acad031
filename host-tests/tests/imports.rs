//! Least privilege and size: what the component asks of its host, and how many bytes it takes.

use host_tests::components::load;
use host_tests::runtime::Runtime;

/// All that `mqtt.wasm` may ask for.
const ALLOWED: [&str; 4] = ["wasi:clocks/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// The most bytes of each component: what they have, and a few percent for another version of the compiler.
const MOST_BYTES: [(&str, usize); 6] = [
    ("mqtt.wasm", 340_000),
    ("mqtt-tls.wasm", 1_210_000),
    ("examples/guest.wasm", 150_000),
    ("examples/pubsub.wasm", 355_000),
    ("examples/request_reply.wasm", 480_000),
    ("examples/tls_pubsub.wasm", 1_290_000),
];

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
    for (name, most) in MOST_BYTES {
        let size = load(name).unwrap().len();
        assert!(size <= most, "{name} has {size} bytes, {most} at most");
    }
}
