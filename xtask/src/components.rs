//! What is built for wasm32-wasip2, from which package, and where it lands.

use std::collections::HashMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, iter, process, thread};

use crate::abi;
use crate::args::BuildOptions;
use crate::binaryen::{Binaryen, Kind};
use crate::error::{At, Error, Result};
use crate::package::{self, Package};
use crate::process::{run, step};
use crate::shrink;
use crate::toolchain::{TARGET, Toolchain};
use crate::workspace;

/// The variable that tells tests and demo where the components are, so that they build none.
pub(crate) const FOLDER_VARIABLE: &str = "MQTT_WASI_COMPONENTS";

const PROFILE: &str = "wasm";

/// The profile of what has no cryptography, which would take a quarter more time. Hardly any function becomes part of
/// another there, except those that are marked for it.
const SMALL_PROFILE: &str = "wasm-small";

/// Functions become part of others as at `opt-level = "s"`, where `z` leaves nearly all of them alone: without it,
/// publishing many messages at once takes up to a third more processor time.
const INLINING: &str = " -Cllvm-args=-inline-threshold=50";

/// One file to build.
struct Component {
    /// Where it lands in the folder of components, without `.wasm`.
    name: String,
    /// The cargo command that builds its package.
    command: &'static str,
    /// The world that it is, and the package of `wit/` that has it, if it is one.
    world: Option<(Package, &'static str)>,
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

/// A program without std needs no adapter either, nor as large a stack.
const NO_STD_ARGS: &[&str] = &["--", "-Clink-arg=--wasi-adapter=none", "-Clink-arg=-zstack-size=131072"];

/// Programs with std have a stack of a megabyte, in front of their data. With a little less of it, the places of the
/// data are numbers that are a byte shorter.
const STACK: &str = " -Clink-arg=-zstack-size=983040";

/// 64-bit products whole, and the curves of TLS in the code that lives from them, for engines with wide arithmetic.
const WIDE: &str = " -Ctarget-feature=+wide-arithmetic --cfg curve25519_dalek_bits=\"64\"";

/// The packages that have guests, of the host tests and of the benchmark, and the commands that build them.
const GUESTS: [(&str, &str); 2] =
    [("host-tests/guests", "build -p host-tests-guests"), ("bench/guests", "build -p bench-guests")];

/// The programs of `examples/showcase`.
pub(crate) const SHOWCASE: [&str; 5] = ["sensor", "command_and_control", "workers", "bridge", "dashboard"];

/// The adapters of `adapters/`, each an example of its package.
const ADAPTERS: [&str; 5] = [
    "spin-mqtt",
    "wasmcloud-outgoing-0-2",
    "wasmcloud-incoming-0-2",
    "wasmcloud-outgoing-0-3",
    "wasmcloud-incoming-0-3",
];

/// The programs that the host tests put on top of them.
const APPS: [&str; 3] = ["spin-app", "wasmcloud-app-0-2", "wasmcloud-app-0-3"];

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
    let packages = package::build()?;
    if !options.quiet {
        print_table(&components, &sizes, &packages);
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
    compile_all(components, &toolchain, options)?;
    let binaryen = if components.iter().any(Component::is_shrunk) { Binaryen::find_or_install()? } else { None };
    install_all(components, binaryen.as_ref())
}

/// Compiles them, folder beside folder: what takes longest, to compile the whole of a component as one, takes but one
/// core.
fn compile_all(components: &[Component], toolchain: &Toolchain, options: &BuildOptions) -> Result<()> {
    let is_with = |one: &Component, next: &Component| (one.command, one.is_wide()) == (next.command, next.is_wide());
    let mut folders: Vec<(PathBuf, Vec<&[Component]>)> = Vec::new();
    for package in components.chunk_by(is_with) {
        let folder = package[0].cargo_folder();
        match folders.iter_mut().find(|(known, _)| *known == folder) {
            Some((_, packages)) => packages.push(package),
            None => folders.push((folder, vec![package])),
        }
    }
    on_all_cores(&folders, |(_, packages)| packages.iter().try_for_each(|package| compile(package, toolchain, options)))
        .map(drop)
}

fn install_all(components: &[Component], binaryen: Option<&Binaryen>) -> Result<Vec<Size>> {
    let installed = on_all_cores(components, |component| component.install(binaryen))?;
    let mut sizes: HashMap<_, _> = installed.into_iter().map(|size| (size.name.clone(), size)).collect();
    Ok(components.iter().filter_map(|component| sizes.remove(&component.name)).collect())
}

/// Does something with each of these, one a core. The results are in no order.
fn on_all_cores<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let work_on_some =
        || iter::from_fn(|| all.get(next.fetch_add(1, Ordering::Relaxed))).map(&work).collect::<Result<Vec<_>>>();
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work_on_some)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(done.into_iter().flatten().collect())
}

fn all() -> Result<Vec<Component>> {
    let mut components = vec![
        Component {
            name: "mqtt".into(),
            world: Some((package::P2, "client")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_ARGS,
        },
        Component {
            name: "mqtt-tls".into(),
            world: Some((package::P2, "client-tls")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component,tls",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_TLS_ARGS,
        },
        Component {
            name: "mqtt-tls-wide".into(),
            world: Some((package::P2, "client-tls")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component,tls",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_TLS_ARGS,
        },
        Component {
            name: "mqtt-host-tls".into(),
            world: Some((package::P2, "client-host-tls")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features host-tls",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_ARGS,
        },
        Component {
            name: "mqtt-cli".into(),
            world: None,
            command: "build -p mqtt-cli",
            target: "--bin mqtt".into(),
            artifact: "mqtt".into(),
            rustc_args: &[],
        },
        Component {
            name: "mqtt-ws".into(),
            world: Some((package::P2, "client")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component,proxy,ws",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_ARGS,
        },
        Component {
            name: "mqtt-wss".into(),
            world: Some((package::P2, "client-tls")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component,proxy,tls,ws",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_TLS_ARGS,
        },
        Component {
            name: "mqtt-p3".into(),
            world: Some((package::P3, "client")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component-p3",
            target: "--lib".into(),
            artifact: "mqtt_wasi".into(),
            rustc_args: MQTT_ARGS,
        },
        Component {
            name: "mqtt-p3-tls".into(),
            world: Some((package::P3, "client-tls")),
            command: "rustc -p mqtt-wasi --crate-type cdylib --no-default-features --features component-p3,tls",
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
        Component {
            name: "examples/keyvalue".into(),
            world: None,
            command: "build -p example-guest",
            target: "--bin keyvalue".into(),
            artifact: "keyvalue".into(),
            rustc_args: &[],
        },
        Component {
            name: "examples/small".into(),
            world: None,
            command: "rustc -p example-small",
            target: "--lib".into(),
            artifact: "example_small".into(),
            rustc_args: NO_STD_ARGS,
        },
    ];
    components.extend(SHOWCASE.map(|program| Component {
        name: format!("showcase/{program}"),
        world: None,
        command: "build -p showcase",
        target: format!("--bin {program}"),
        artifact: program.into(),
        rustc_args: &[],
    }));
    components.extend(ADAPTERS.map(|adapter| Component {
        name: format!("adapters/{adapter}"),
        world: None,
        command: "build -p mqtt-wasi-adapters",
        target: format!("--example {adapter}"),
        artifact: format!("examples/{}", adapter.replace('-', "_")),
        rustc_args: &[],
    }));
    components.extend(APPS.map(|app| Component {
        name: format!("guests/{app}"),
        world: None,
        command: "build -p host-tests-guests-p3",
        target: format!("--example {app}"),
        artifact: format!("examples/{}", app.replace('-', "_")),
        rustc_args: &[],
    }));
    components.push(Component {
        name: "guests/p3".into(),
        world: None,
        command: "rustc -p host-tests-guests-p3",
        target: "--lib".into(),
        artifact: "host_tests_guests_p3".into(),
        rustc_args: &[],
    });
    components.push(Component {
        name: "guests/bench_p3".into(),
        world: None,
        command: "rustc -p bench-guests-p3",
        target: "--lib".into(),
        artifact: "bench_guests_p3".into(),
        rustc_args: &[],
    });
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
    cargo.args(["--locked", "--target", TARGET, "--profile", components[0].profile()]);
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
    if components[0].rustc_args.is_empty() {
        rustflags.push_str(STACK);
    }
    if components[0].is_fast() {
        rustflags.push_str(INLINING);
    }
    if components[0].is_wide() {
        rustflags.push_str(WIDE);
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
    /// Where cargo builds it. The library has one file name with any features, so in one folder each would be built
    /// again after the other.
    fn cargo_folder(&self) -> PathBuf {
        workspace::target().join(match self.name.as_str() {
            "mqtt-tls" => "wasm-tls",
            "mqtt-tls-wide" => "wasm-tls-wide",
            "mqtt-host-tls" => "wasm-host-tls",
            "mqtt-ws" => "wasm-ws",
            "mqtt-wss" => "wasm-wss",
            "mqtt-p3" => "wasm-p3",
            "mqtt-p3-tls" => "wasm-p3-tls",
            _ => "wasm",
        })
    }

    /// Whether it is for engines that have wide arithmetic.
    fn is_wide(&self) -> bool {
        self.name.ends_with("-wide")
    }

    fn profile(&self) -> &'static str {
        let is_guest = self.name.starts_with("guests/");
        let has_cryptography = self.command.contains("tls") && self.name != "mqtt-host-tls";
        if is_guest || has_cryptography { PROFILE } else { SMALL_PROFILE }
    }

    /// Whether it has to be fast though it is small: the client itself, where it is a component.
    fn is_fast(&self) -> bool {
        self.profile() == SMALL_PROFILE && self.name.starts_with("mqtt")
    }

    fn path(&self) -> PathBuf {
        folder().join(format!("{}.wasm", self.name))
    }

    /// Whether it is what users get, and not a guest of ours that tests and measures, nor a program to read; nor one
    /// for debuggers.
    fn is_shrunk(&self) -> bool {
        !["guests/", "showcase/"].iter().any(|folder| self.name.starts_with(folder)) && !keeps_names()
    }

    /// Copies it from cargo's folder, if it changed, and returns its size.
    fn install(&self, binaryen: Option<&Binaryen>) -> Result<Size> {
        let built = self.cargo_folder().join(TARGET).join(self.profile()).join(format!("{}.wasm", self.artifact));
        let mut bytes = without_names(fs::read(&built).at(&built)?);
        let built_len = bytes.len();
        let mut names = HashMap::new();
        if self.is_shrunk() {
            let is_small = self.profile() == SMALL_PROFILE;
            (bytes, names) = shrink::shrink(&bytes, binaryen, Kind { is_wide: self.is_wide(), is_small })?;
        }
        if let Some((package, world)) = self.world {
            package.add_docs(&mut bytes, world)?;
            // Nobody calls asynchronous functions who knows core WebAssembly only.
            if package == package::P2 {
                replace_if_changed(&self.path().with_extension("abi.json"), abi::describe(&names)?.as_bytes())?;
            }
        }
        replace_if_changed(&self.path(), &bytes)?;
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

fn replace_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) { Ok(()) } else { replace(path, bytes) }
}

/// Writes a file such that no reader sees half of it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).at(folder)?;
    let new = path.with_extension(format!("{}.tmp", process::id()));
    fs::write(&new, bytes).at(&new)?;
    fs::rename(&new, path).at(path)
}

fn print_table(components: &[Component], sizes: &[Size], packages: &[(String, usize)]) {
    println!("{:>9}  {:>7}  file", "bytes", "KB");
    let files = components.iter().map(Component::path).zip(sizes.iter().map(|size| size.installed));
    for (path, bytes) in files.chain(packages.iter().map(|(file, bytes)| (folder().join(file), *bytes))) {
        let path = path.strip_prefix(workspace::root()).unwrap_or(&path);
        println!("{bytes:>9}  {:>7.1}  {}", bytes as f64 / 1000.0, path.display());
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
