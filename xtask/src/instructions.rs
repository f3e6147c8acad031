//! Counting the instructions of a message, beside those of an earlier revision. A busy machine does not change them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{At, Error, Result};
use crate::process::{read, run, step, succeeds};
use crate::revision;
use crate::workspace::{self, cargo};

/// What is counted: the job's name, and in words.
const JOBS: [(&str, &str); 4] = [
    ("publish-0", "publish QoS 0"),
    ("publish-1", "publish QoS 1 and the broker's end"),
    ("receive-0", "receive QoS 0"),
    ("receive-1", "receive QoS 1 with PUBACK"),
];

/// Between these numbers of batches nothing differs but the messages.
const BATCHES: [u64; 2] = [100, 1100];

/// How many messages a batch has.
const BATCH: u64 = 32;

/// Counts, and prints a table with an earlier revision beside it. Messages have 64 bytes.
pub(crate) fn count(earlier: Option<&str>) -> Result<()> {
    require_valgrind()?;
    let mut programs = Vec::new();
    if let Some(earlier) = earlier {
        let source = revision::check_out(earlier)?;
        programs.push((earlier, build(earlier, &source)?));
    }
    programs.push(("now", build("now", workspace::root())?));
    print!("{:36}", "instructions a message");
    programs.iter().for_each(|(name, _)| print!("{name:>12}"));
    println!();
    for (job, words) in JOBS {
        print!("{words:36}");
        for (_, program) in &programs {
            print!("{:12}", instructions_a_message(program, job)?);
        }
        println!();
    }
    Ok(())
}

/// Counts, job by job.
pub(crate) fn now() -> Result<Vec<(String, u64)>> {
    require_valgrind()?;
    step("counting instructions");
    let program = build("now", workspace::root())?;
    JOBS.iter().map(|(job, words)| Ok(((*words).to_owned(), instructions_a_message(&program, job)?))).collect()
}

/// As [`now`], in a file with a line for each; `None` where there is no valgrind.
pub(crate) fn file() -> Result<Option<PathBuf>> {
    if !has_valgrind() {
        step("not counting instructions: valgrind is not installed");
        return Ok(None);
    }
    let text: String = now()?.into_iter().map(|(name, count)| format!("{count}\t{name}\n")).collect();
    let file = folder().join("now.txt");
    fs::write(&file, text).at(&file)?;
    Ok(Some(file))
}

fn has_valgrind() -> bool {
    succeeds(Command::new("valgrind").arg("--version"))
}

fn require_valgrind() -> Result<()> {
    let remedy = "install it, for example with `apt-get install valgrind`";
    if has_valgrind() { Ok(()) } else { Err(Error::MissingTool { tool: "valgrind", remedy }) }
}

fn instructions_a_message(program: &Path, job: &str) -> Result<u64> {
    let [few, many] = BATCHES.map(|batches| instructions(program, job, batches));
    Ok((many? - few?) / ((BATCHES[1] - BATCHES[0]) * BATCH))
}

fn folder() -> PathBuf {
    workspace::target().join("instructions")
}

/// Builds the program of this revision's bench folder against the crate in `source`.
fn build(name: &str, source: &Path) -> Result<PathBuf> {
    let package = folder().join(name).join("package");
    fs::create_dir_all(&package).at(&package)?;
    let program = workspace::root().join("bench/src/bin/instructions.rs");
    // In several units it would be chance which function is inlined: a module more or less decides.
    let manifest = format!(
        "[package]\nname = \"instructions\"\nedition = \"2024\"\n\n[[bin]]\nname = \"instructions\"\npath = {program:?}\n\n\
         [dependencies]\nmqtt-wasi = {{ path = {source:?} }}\n\n[workspace]\n\n\
         [profile.release]\ncodegen-units = 1\n"
    );
    let file = package.join("Cargo.toml");
    fs::write(&file, manifest).at(&file)?;
    step(&format!("building {name}"));
    run(cargo("build --quiet --release").current_dir(&package).env("CARGO_TARGET_DIR", package.join("target")))?;
    Ok(package.join("target/release/instructions"))
}

fn instructions(program: &Path, job: &str, batches: u64) -> Result<u64> {
    let counts = folder().join("counts");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]).arg(format!("--callgrind-out-file={}", counts.display()));
    read(valgrind.arg(program).args([job, &batches.to_string()]))?;
    let text = fs::read_to_string(&counts).at(&counts)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or(Error::Usage("valgrind's output has no `totals:` line".into()))
}
