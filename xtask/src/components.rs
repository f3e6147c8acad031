//! What is built for wasm32-wasip2, from which package, and where it lands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use crate::args::BuildOptions;
use crate::binaryen::Binaryen;
use crate::error::{At, Error, Result};
use crate::package;
use crate::process::{run, step};
use crate::shrink;
use crate::toolchain::{TARGET, Toolchain};
use crate::workspace;

/// The variable that tells tests and demo where the components are, so that they build none.
pub(crate) const FOLDER_VARIABLE: &str = "MQTT_WASI_COMPONENTS";

const PROFILE: &str = "wasm";

/// One file to build.
struct Component {
    /// Where it lands in the folder of components, without `.wasm`.
    name: String,
    /// The cargo command that builds its package.
    command: &'static str,
    /// The world of `wit/` that it is, if it is one.
    world: Option<&'static str>,
    /// The arguments that choose it among the package's targets.
    target: String,
    /// Where cargo leaves it in the folder of the profile, without `.wasm`.
    artifact: String,
    /// What `cargo rustc` passes on to the compiler.
    rustc_args: &'static [&'static str],
}

/// The mqtt component has no use for the adapter that brings `wasi:cli` along, nor for a stack of a megabyte.
const MQTT_ARGS: &[&str] = &["--", "-Clink-arg=--wasi-adapter=none", "-Clink-arg=-zstack-size=131072"];

/// The same for the one with TLS, and an adapter of its own for randomness.
const MQTT_TLS_ARGS: &[&str] = &[
    "--",
    "-Clink-arg=--wasi-adapter=none",
    "-Clink-arg=--adapt=wasi_snapshot_preview1=src/component/random_get.wat",
    "-Clink-arg=-zstack-size=131072",
];

/// The packages that have guests, of the host tests and of the benchmark, and the commands that build them.
const GUESTS: [(&str, &str); 2] =
    [("host-tests/guests", "build -p host-tests-guests"), ("bench/guests", "build -p bench-guests")];

pub(crate) fn folder() -> PathBuf {
    workspace::target().join("components")
}

/// How large a component is.
pub(crate) struct Size {
    pub(crate) name: String,
    /// As cargo leaves it, stripped.
    pub(crate) built: usize,
    /// As it is in the folder of components.
    pub(crate) installed: usize,
}

/// Builds what `options` ask for.
pub(crate) fn build(options: &BuildOptions) -> Result<()> {
    let components = select(all()?, &options.only)?;
    let sizes = build_these(&components, options)?;
    let package = package::build()?;
    if !options.quiet {
        print_table(&components, &sizes, &package);
    }
    Ok(())
}

/// Builds what users get, and small programs of `bench/sizes` by their names and features, and returns the sizes.
pub(crate) fn measure(programs: &[(&str, &'static str)]) -> Result<Vec<Size>> {
    let mut components = all()?;
    components.retain(Component::is_shrunk);
    components.extend(programs.iter().map(|&(program, command)| Component {
        name: format!("sizes/{program}"),
        world: None,
        command,
        target: format!("--bin {program}"),
        artifact: program.into(),
        rustc_args: &[],
    }));
    build_these(&components, &BuildOptions { quiet: true, ..BuildOptions::default() })
}

fn build_these(components: &[Component], options: &BuildOptions) -> Result<Vec<Size>> {
    let toolchain = Toolchain::find_or_fetch()?;
    if !options.quiet {
        step(&format!("building the components with {toolchain}"));
    }
    for package in components.chunk_by(|one, next| one.command == next.command) {
        compile(package, &toolchain, options)?;
    }
    let binaryen = if components.iter().any(Component::is_shrunk) { Binaryen::find_or_install()? } else { None };
    components.iter().map(|component| component.install(binaryen.as_ref())).collect()
}

fn all() -> Result<Vec<Component>> {
    let mut components = vec![
        Component {
            name: "mqtt".into(),
            world: Some("client"),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_ARGS,
        },
        Component {
            name: "mqtt-tls".into(),
            world: Some("client-tls"),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component,tls",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_TLS_ARGS,
        },
        Component {
            name: "examples/pubsub".into(),
            world: None,
            command: "build -p mqtt-wasi --features json",
            target: "--example pubsub".into(),
            artifact: "examples/pubsub".into(),
            rustc_args: &[],
        },
        Component {
            name: "examples/request_reply".into(),
            world: None,
            command: "build -p mqtt-wasi --features tokio",
            target: "--example request_reply".into(),
            artifact: "examples/request_reply".into(),
            rustc_args: &[],
        },
        Component {
            name: "examples/tls_pubsub".into(),
            world: None,
            command: "build -p mqtt-wasi --features tls",
            target: "--example tls_pubsub".into(),
            artifact: "examples/tls_pubsub".into(),
            rustc_args: &[],
        },
        Component {
            name: "examples/guest".into(),
            world: None,
            command: "build -p example-guest",
            target: "--bin example-guest".into(),
            artifact: "example-guest".into(),
            rustc_args: &[],
        },
    ];
    for (folder, command) in GUESTS {
        components.extend(programs(folder)?.into_iter().map(|guest| Component {
            name: format!("guests/{guest}"),
            world: None,
            command,
            target: format!("--bin {guest}"),
            artifact: guest,
            rustc_args: &[],
        }));
    }
    Ok(components)
}

/// The programs of a package, one a source file.
fn programs(package: &str) -> Result<Vec<String>> {
    let folder = workspace::root().join(package).join("src/bin");
    let mut programs = Vec::new();
    for entry in fs::read_dir(&folder).at(&folder)? {
        let path = entry.at(&folder)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            programs.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    programs.sort();
    Ok(programs)
}

/// Keeps the components that `only` names, one by one or by folder; all of them if it names none.
fn select(mut components: Vec<Component>, only: &[String]) -> Result<Vec<Component>> {
    let is_named = |component: &Component, name: &String| Path::new(&component.name).starts_with(name);
    if let Some(name) = only.iter().find(|name| !components.iter().any(|component| is_named(component, name))) {
        let known: Vec<_> = components.iter().map(|component| component.name.as_str()).collect();
        return Err(Error::Usage(format!("there is no component `{name}`: choose from {}", known.join(", "))));
    }
    components.retain(|component| only.is_empty() || only.iter().any(|name| is_named(component, name)));
    Ok(components)
}

/// Builds components of one package.
fn compile(components: &[Component], toolchain: &Toolchain, options: &BuildOptions) -> Result<()> {
    let mut cargo = workspace::cargo(components[0].command);
    cargo.args(components.iter().flat_map(|component| component.target.split(' ')));
    cargo.args(["--locked", "--target", TARGET, "--profile", PROFILE]);
    // A folder of its own: another compiler, and no lock to wait for under `cargo test`.
    cargo.env("CARGO_TARGET_DIR", components[0].cargo_folder());
    // What is set for the machine's own builds is not meant for these.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // In place of what `.cargo/config.toml` says.
    let mut rustflags = String::from("--cfg tokio_unstable");
    if !keeps_names() {
        // Numbers as short as they are: a twentieth less. The linker does it only where nothing is kept for debuggers.
        rustflags.push_str(" -Clink-arg=--compress-relocations");
    }
    // In CI always, so that its static checks and its tests share one build.
    if options.deny_warnings || workspace::is_ci() {
        rustflags.push_str(" -Dwarnings");
    }
    cargo.env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", rustflags);
    if options.quiet {
        cargo.arg("--quiet");
    }
    cargo.args(components[0].rustc_args);
    toolchain.apply(&mut cargo);
    run(&mut cargo)
}

/// Whether the build is to be looked at with a debugger or a profiler.
fn keeps_names() -> bool {
    std::env::var_os("CARGO_PROFILE_WASM_STRIP").is_some()
}

impl Component {
    /// Where cargo builds it. The library with TLS and the one without have the same file name, so in one folder each
    /// would be built again after the other.
    fn cargo_folder(&self) -> PathBuf {
        workspace::target().join(if self.name == "mqtt-tls" { "wasm-tls" } else { "wasm" })
    }

    fn path(&self) -> PathBuf {
        folder().join(format!("{}.wasm", self.name))
    }

    /// Whether it is what users get, and not a guest of ours that tests and measures; nor one for debuggers.
    fn is_shrunk(&self) -> bool {
        !self.name.starts_with("guests/") && !keeps_names()
    }

    /// Copies it from cargo's folder, if it changed, and returns its size.
    fn install(&self, binaryen: Option<&Binaryen>) -> Result<Size> {
        let built = self.cargo_folder().join(TARGET).join(PROFILE).join(format!("{}.wasm", self.artifact));
        let mut bytes = without_names(fs::read(&built).at(&built)?);
        let built_len = bytes.len();
        if self.is_shrunk() {
            bytes = shrink::shrink(&bytes, binaryen)?;
        }
        if let Some(world) = self.world {
            package::add_docs(&mut bytes, world)?;
        }
        let path = self.path();
        if !fs::read(&path).is_ok_and(|old| old == bytes) {
            replace(&path, &bytes)?;
        }
        Ok(Size { name: self.name.clone(), built: built_len, installed: bytes.len() })
    }
}

/// A component without the custom sections that only debuggers read, which the linker adds behind rustc's back.
fn without_names(component: Vec<u8>) -> Vec<u8> {
    const PREAMBLE: usize = 8;
    const CUSTOM: u8 = 0;
    let mut kept = component[..PREAMBLE.min(component.len())].to_vec();
    let mut rest = component.get(PREAMBLE..).unwrap_or_default();
    while let Some((section, len)) = split_section(rest) {
        let (bytes, behind) = rest.split_at(len);
        if section != CUSTOM {
            kept.extend_from_slice(bytes);
        }
        rest = behind;
    }
    if rest.is_empty() { kept } else { component }
}

/// The identifier of the first section and its length, header included; `None` where there is no whole one.
fn split_section(bytes: &[u8]) -> Option<(u8, usize)> {
    let (&section, rest) = bytes.split_first()?;
    let mut len = 0;
    for (index, &byte) in rest.iter().enumerate().take(5) {
        len |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let end = 1 + index + 1 + len;
            return (end <= bytes.len()).then_some((section, end));
        }
    }
    None
}

/// Writes a file such that no reader sees half of it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).at(folder)?;
    let new = path.with_extension(format!("{}.tmp", process::id()));
    fs::write(&new, bytes).at(&new)?;
    fs::rename(&new, path).at(path)
}

fn print_table(components: &[Component], sizes: &[Size], (package, size): &(String, usize)) {
    println!("{:>9}  {:>7}  file", "bytes", "KB");
    let files = components.iter().map(Component::path).chain([folder().join(package)]);
    for (path, bytes) in files.zip(sizes.iter().map(|size| &size.installed).chain([size])) {
        let path = path.strip_prefix(workspace::root()).unwrap_or(&path);
        println!("{bytes:>9}  {:>7.1}  {}", *bytes as f64 / 1000.0, path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(only: &[&str]) -> Result<Vec<String>> {
        let component = |name: &str| Component {
            name: name.into(),
            world: None,
            command: "",
            target: String::new(),
            artifact: String::new(),
            rustc_args: &[],
        };
        let components = ["mqtt", "guests/echo", "guests/echo-twice"].map(component).into();
        let only: Vec<_> = only.iter().copied().map(String::from).collect();
        Ok(select(components, &only)?.into_iter().map(|component| component.name).collect())
    }

    #[test]
    fn custom_sections_go_and_all_others_stay() {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        component.extend([1, 2, 7, 7]);
        let expected = component.clone();
        component.extend([0, 3, 1, b'x', 9]);
        assert_eq!(without_names(component), expected);
    }

    #[test]
    fn bytes_that_are_no_sections_stay_as_they_are() {
        let bytes = b"\0asm\x0d\0\x01\0\x01\x7f".to_vec();
        assert_eq!(without_names(bytes.clone()), bytes);
    }

    #[test]
    fn everything_is_selected_unless_something_is_named() {
        assert_eq!(selected(&[]).unwrap(), ["mqtt", "guests/echo", "guests/echo-twice"]);
    }

    #[test]
    fn components_are_named_one_by_one_or_by_folder() {
        assert_eq!(selected(&["guests/echo", "mqtt"]).unwrap(), ["mqtt", "guests/echo"]);
        assert_eq!(selected(&["guests"]).unwrap(), ["guests/echo", "guests/echo-twice"]);
    }

    #[test]
    fn unknown_name_is_refused_with_the_known_ones() {
        let error = selected(&["mqtt", "echo"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no component `echo`: choose from mqtt, guests/echo, guests/echo-twice; see `cargo xtask help`"
        );
    }
}
