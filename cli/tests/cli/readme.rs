//! The commands of the README work, each in its form.

use std::path::Path;

use host_tests::broker::Embedded;

use crate::form::{BOTH, Form};

/// The arguments that the README has behind these words.
fn arguments(begin: &str) -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let line = readme.lines().find_map(|line| line.strip_prefix(begin));
    // The tests have another broker, and no shell that takes quotes away.
    line.unwrap_or_else(|| panic!("no line `{begin}…`")).replace(" -h localhost", "").replace('\'', "")
}

#[test]
fn commands_of_the_readme_print_what_comes() {
    let broker = Embedded::start().unwrap();
    Form::Native.run(broker.address(), "pub -t sensors/kitchen -m 21.5 -q 1 --retain").success();
    for (form, begin) in BOTH.into_iter().zip(["cargo run -p mqtt-cli -- ", "cargo xtask run mqtt "]) {
        let line = format!("{} -C 1 -W 30", arguments(begin));
        assert_eq!(form.run(broker.address(), &line).success().text(), "sensors/kitchen 21.5\n", "{form:?}");
    }
}
