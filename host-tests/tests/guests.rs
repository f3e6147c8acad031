//! Every guest is run by a test.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn no_guest_is_forgotten() {
    let tests: Vec<_> = sources("tests").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let guests = sources("guests/src/bin");
    assert!(!guests.is_empty());
    for guest in guests {
        let name = guest.file_stem().and_then(OsStr::to_str).unwrap();
        let runs = [format!("Guest::load(\"{name}\")"), format!("\"guests/{name}\"")];
        let is_run = |test: &String| runs.iter().any(|run| test.contains(run));
        assert!(tests.iter().any(is_run), "no test runs the guest {name}");
    }
}

/// The Rust files of a folder of this package.
fn sources(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension() == Some(OsStr::new("rs"))).collect()
}
