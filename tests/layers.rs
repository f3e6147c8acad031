//! The layers of the crate: each knows those before it and no other, so that nothing goes round in a circle.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and what it may know: all of that comes before it.
const LAYERS: &[(&str, &[&str])] = &[
    // What examples begin with, and the pages of docs/: for documentation alone.
    ("examples", &[]),
    ("pages", &[]),
    // The ground: bytes, time, places, and containers.
    ("codec", &[]),
    ("frame", &["codec"]),
    ("time", &[]),
    ("url", &[]),
    ("fifo", &[]),
    ("ordered", &["fifo"]),
    ("deadlines", &["time"]),
    ("rabbitmq", &[]),
    ("wit", &[]),
    ("message", &["codec"]),
    ("error", &["codec", "frame", "message", "url"]),
    ("bulk", &["codec"]),
    ("random", &["error", "wit"]),
    // Byte streams, which know no MQTT.
    ("landing", &["wit"]),
    ("transport", &["error", "landing", "random", "time", "url", "wit"]),
    // The protocol.
    ("session", &["codec", "deadlines", "error", "fifo", "frame", "message", "ordered", "time"]),
    ("respond", &["codec", "error", "fifo", "message", "session", "time"]),
    ("authenticate", &["session"]),
    // Helpers that the core does not know: it is given what it needs of them.
    ("envelope", &["error", "message", "rabbitmq", "session"]),
    ("json", &["codec", "error", "message", "respond"]),
    ("trace", &["codec", "message", "random", "respond"]),
    ("scram", &["authenticate"]),
    ("store", &["error", "session"]),
    // What lies between the protocol and its users.
    (
        "engine",
        &[
            "authenticate",
            "codec",
            "deadlines",
            "envelope",
            "error",
            "fifo",
            "message",
            "ordered",
            "respond",
            "session",
            "time",
            "transport",
            "url",
        ],
    ),
    // Faces: they move bytes, wait, and translate.
    (
        "client",
        &["codec", "engine", "error", "json", "message", "random", "respond", "session", "time", "trace", "transport"],
    ),
    (
        "async_client",
        &["codec", "engine", "error", "json", "message", "random", "respond", "session", "time", "trace", "transport"],
    ),
    (
        "component",
        &[
            "bulk",
            "client",
            "codec",
            "engine",
            "error",
            "landing",
            "message",
            "ordered",
            "random",
            "respond",
            "session",
            "trace",
            "transport",
            "url",
            "wit",
        ],
    ),
    (
        "component_p3",
        &[
            "bulk",
            "codec",
            "component",
            "engine",
            "error",
            "message",
            "ordered",
            "random",
            "respond",
            "session",
            "time",
            "transport",
            "wit",
        ],
    ),
];

#[test]
fn layers_are_in_order() {
    for (place, (layer, known)) in LAYERS.iter().enumerate() {
        for other in *known {
            let is_before = LAYERS[..place].iter().any(|(before, _)| before == other);
            assert!(is_before, "{layer} may know {other}, which comes behind it");
        }
    }
}

#[test]
fn modules_know_the_layers_before_them_and_no_other() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeSet::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap();
        let module = relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        modules.insert(module.to_owned());
        let (_, known) =
            LAYERS.iter().find(|(layer, _)| *layer == module).unwrap_or_else(|| panic!("{module} is in no layer"));
        for other in mentioned(&fs::read_to_string(&file).unwrap()) {
            let is_known = other == module || known.contains(&other.as_str());
            assert!(is_known, "{} knows {other}, and {module} must not", relative.display());
        }
    }
    assert_eq!(modules, LAYERS.iter().map(|(layer, _)| (*layer).to_owned()).collect(), "a layer for each module");
}

#[test]
fn every_way_to_mention_a_module_is_seen() {
    let source = "use crate::a::B;\nuse crate::{c::D, e::{F, G}, h};\n/// [`crate::I`]\nfn f() { crate::j::k() }\n//! crate::l\n";
    assert_eq!(mentioned(source).into_iter().collect::<Vec<_>>(), ["a", "c", "e", "h", "j"]);
}

/// The modules of the crate that code mentions; documentation may mention all.
fn mentioned(source: &str) -> BTreeSet<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//") && !line.trim_start().starts_with("#!");
    let code: String = source.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect();
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => names.extend(first_name(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut starts = true;
                for (place, c) in group.char_indices() {
                    if starts && depth == 0 && c.is_alphabetic() {
                        names.extend(first_name(&group[place..]));
                        starts = false;
                    }
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => starts = true,
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

fn first_name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
