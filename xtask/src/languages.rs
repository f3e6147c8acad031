//! The guests in other languages: what builds them, at the versions that are pinned beside them, and their components.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::components;
use crate::error::{At, Error, Result};
use crate::npm;
use crate::process::{read, run, step};
use crate::workspace::{self, cargo};

/// Installs the tools of a language, and builds its guests.
type Build = fn() -> Result<()>;

const LANGUAGES: [(&str, Build); 4] = [("javascript", javascript), ("python", python), ("c", c), ("go", go)];

/// The same as that of the crate in `examples/guests/tools`.
const WIT_BINDGEN: &str = "0.63.0";

const WIT: &str = "examples/guests/wit";

/// Builds the guests in these languages, or in all; if one fails, the next is built all the same.
pub(crate) fn build(names: &[String]) -> Result<()> {
    let known = LANGUAGES.map(|(name, _)| name);
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::Usage(format!("there is no language `{name}`: choose from {}", known.join(", "))));
    }
    let mut failed = Vec::new();
    for (name, build) in LANGUAGES {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        step(&format!("building the guests in {name} (the first time, its tools are installed)"));
        if let Err(error) = build() {
            eprintln!("error: {name}: {error}");
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::Languages { failed }) }
}

fn javascript() -> Result<()> {
    let tools = npm::install(&workspace::root().join("examples/guests/javascript"), &folder().join("javascript"))?;
    for (program, name) in [("guest", "javascript"), ("stress", "stress")] {
        starlingmonkey(&tools, program, "guest-with-stdout", name)?;
        build_one(&format!("{name}-quickjs"), |wasm| {
            // Without `--sync` it exports an asynchronous `run`, which a command does not have.
            run_quietly(
                command(tools.join("componentize-qjs"))
                    .args(["--wit", WIT, "--world", "guest-with-stdout", "--sync", "--js"])
                    .arg(format!("examples/guests/javascript/{program}.js"))
                    .arg("--output")
                    .arg(wasm),
            )
        })?;
    }
    // QuickJS cannot hold the words of the bulk interface.
    starlingmonkey(&tools, "packed", "guest-with-bulk", "packed")
}

fn starlingmonkey(tools: &Path, program: &str, world: &str, name: &str) -> Result<()> {
    build_one(&format!("{name}-starlingmonkey"), |wasm| {
        // What is disabled would be imported, used or not.
        run_quietly(
            command(tools.join("componentize-js"))
                .arg(format!("examples/guests/javascript/{program}.js"))
                .args(["--wit", WIT, "--world-name", world, "--disable", "http", "--disable", "fetch-event", "--out"])
                .arg(wasm),
        )
    })
}

fn python() -> Result<()> {
    let tools = packages_for_python("python")?;
    build_one("python", |wasm| {
        run(command(tools.join("componentize-py"))
            .args(["--quiet", "--wit-path", WIT, "--world", "guest"])
            .args(["componentize", "--python-path", "examples/guests/python", "guest", "--output"])
            .arg(wasm))
    })
}

fn c() -> Result<()> {
    let tools = packages_for_python("c")?;
    let bindgen = wit_bindgen()?;
    let adapter = crates()?.join(adapter("command"));
    let work = folder().join("c");
    let guests = [("guest", "c", "imports", &["mqtt"][..]), ("packed", "packed-c", "imports-bulk", &["mqtt", "bulk"])];
    for (program, name, world, interfaces) in guests {
        bindings(&bindgen, "c", world, &work, |bindgen| {
            // Without a name of its own, an interface has that of its package and its version in all its names.
            for interface in interfaces {
                bindgen.args(["--rename", &format!("mqtt-wasi:client/{interface}@0.1.0={interface}")]);
            }
        })?;
        let generated = work.join(world.replace('-', "_"));
        build_one(name, |wasm| {
            let core = work.join("core.wasm");
            run(command(tools.join("python"))
                .args(["-m", "ziglang", "cc", "-target", "wasm32-wasi", "-Os", "-Wall", "-Wextra", "-I"])
                .arg(&work)
                .arg("-o")
                .arg(&core)
                .arg(format!("examples/guests/c/{program}.c"))
                .arg(generated.with_extension("c"))
                .arg(format!("{}_component_type.o", generated.display()))
                // Where it keeps its libc, once built, and what else it would leave in the home folder and this one.
                .env("ZIG_GLOBAL_CACHE_DIR", work.join("cache"))
                .env("ZIG_LOCAL_CACHE_DIR", work.join("cache")))?;
            new_component(&tools, &core, &adapter, wasm)
        })?;
    }
    Ok(())
}

fn go() -> Result<()> {
    let tools = packages_for_python("go")?;
    let bindgen = wit_bindgen()?;
    let adapter = crates()?.join(adapter("reactor"));
    let work = folder().join("go");
    let library = work.join("mqtt");
    bindings(&bindgen, "go", "imports-bulk", &library, |bindgen| {
        bindgen.args(["--pkg-name", "example.com/mqtt"]);
    })?;
    let module = library.join("go.mod");
    fs::write(&module, "module example.com/mqtt\n\ngo 1.27.1\n").at(&module)?;
    for (sources, name) in [(&["guest.go"][..], "go"), (&["packed.go", "bulk.go"], "packed-go")] {
        build_one(name, |wasm| {
            let (core, embedded) = (work.join("core.wasm"), work.join("embedded.wasm"));
            run(command(tools.join("go"))
                .current_dir(workspace::root().join("examples/guests/go"))
                .args(["build", "-buildmode=c-shared", "-ldflags", "-s -w -checklinkname=0", "-o"])
                .arg(&core)
                .args(sources)
                .envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOTOOLCHAIN", "local"), ("GOPROXY", "off")])
                .envs([("GOCACHE", work.join("cache")), ("GOPATH", work.join("path"))]))?;
            run(command(tools.join("wasm-tools"))
                .args(["component", "embed", "--world", "guest-with-bulk", WIT])
                .arg(&core)
                .arg("--output")
                .arg(&embedded))?;
            new_component(&tools, &embedded, &adapter, wasm)
        })?;
    }
    Ok(())
}

/// Has `build` write a component, and prints its size.
fn build_one(name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let wasm = components::folder().join(format!("languages/{name}.wasm"));
    create_folder(wasm.parent().unwrap_or(&wasm))?;
    build(&wasm)?;
    let bytes = fs::metadata(&wasm).at(&wasm)?.len();
    let path = wasm.strip_prefix(workspace::root()).unwrap_or(&wasm);
    println!("{bytes:>9}  {:>7.1}  {}", bytes as f64 / 1000.0, path.display());
    Ok(())
}

/// Makes a component of a module for WASI 0.1 that has its interface in it.
fn new_component(tools: &Path, module: &Path, adapter: &Path, wasm: &Path) -> Result<()> {
    run(command(tools.join("wasm-tools"))
        .args(["component", "new"])
        .arg(module)
        .arg("--adapt")
        .arg(format!("wasi_snapshot_preview1={}", adapter.display()))
        .arg("--output")
        .arg(wasm))
}

/// Writes the bindings of a world of the client's into a folder.
fn bindings(bindgen: &Path, language: &str, world: &str, to: &Path, more: impl FnOnce(&mut Command)) -> Result<()> {
    let mut command = command(bindgen);
    command.args([language, "--world", world, "examples/guests/wit/deps/mqtt", "--out-dir"]).arg(to);
    more(&mut command);
    run_quietly(&mut command)
}

/// Installs what `requirements.txt` says, with that of the other languages; returns the folder of the programs.
fn packages_for_python(guest: &str) -> Result<PathBuf> {
    let environment = folder().join("venv");
    let programs = environment.join("bin");
    if !programs.join("pip").exists() {
        run(command("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    run(command(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(format!("examples/guests/{guest}/requirements.txt")))?;
    Ok(programs)
}

/// Installs the program that writes bindings, and returns it.
fn wit_bindgen() -> Result<PathBuf> {
    let program = folder().join("bin/wit-bindgen");
    let version = program.exists().then(|| read(command(&program).arg("--version"))).transpose()?;
    if !version.is_some_and(|version| version.trim_end().ends_with(&format!(" {WIT_BINDGEN}"))) {
        run(cargo("install --quiet --locked --force wit-bindgen-cli --version")
            .arg(format!("={WIT_BINDGEN}"))
            .arg("--root")
            .arg(folder()))?;
    }
    Ok(program)
}

/// The sources of the crates that C and Go need files of.
fn crates() -> Result<PathBuf> {
    let sources = folder().join("crates");
    run_quietly(cargo("vendor --quiet --locked --manifest-path examples/guests/tools/Cargo.toml").arg(&sources))?;
    Ok(sources)
}

/// The module that stands for WASI 0.1 in a component of this kind, among those sources.
fn adapter(kind: &str) -> String {
    format!("wasi-preview1-component-adapter-provider/artefacts/wasi_snapshot_preview1.{kind}.wasm")
}

fn folder() -> PathBuf {
    workspace::target().join("languages")
}

fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).at(path)
}

fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root());
    command
}

/// Runs a program without what it prints when all is well.
fn run_quietly(command: &mut Command) -> Result<()> {
    read(command).map(drop)
}
