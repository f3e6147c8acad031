//! What is kept of each run in `target/interop`, and the pages that it is written to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use host_tests::interop::Cell;

/// What stands around the matrix in a page.
const MARKS: [&str; 2] = ["<!-- matrix:begin -->\n", "<!-- matrix:end -->\n"];

/// Where it is kept what came of a broker, or of what else has this name.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/interop").join(format!("{name}.txt"))
}

/// Keeps the version and what came of each promise, and not what is wrong.
pub(crate) fn keep(name: &str, version: String, cells: &[Cell]) -> Result<()> {
    let lines = std::iter::once(version).chain(cells.iter().filter_map(Cell::line));
    let path = kept(name);
    fs::create_dir_all(path.parent().context("a folder")?).context("target/interop")?;
    fs::write(&path, lines.collect::<Vec<_>>().join("\n")).with_context(|| path.display().to_string())
}

/// The version and the other lines that are kept of this name, if it was tried before.
pub(crate) fn kept_of(name: &str) -> Option<(String, Vec<String>)> {
    let text = fs::read_to_string(kept(name)).ok()?;
    let mut lines = text.lines().map(str::to_owned);
    Some((lines.next().unwrap_or_default(), lines.collect()))
}

/// Writes a matrix to where it stands in the page of docs/ with this name.
pub(crate) fn write(name: &str, matrix: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let page = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let [begin, end] = MARKS;
    let (before, rest) = page.split_once(begin).with_context(|| format!("docs/{name} has no place for the matrix"))?;
    let (_, after) = rest.split_once(end).with_context(|| format!("docs/{name} has no end of the matrix"))?;
    fs::write(&path, format!("{before}{begin}\n{matrix}\n{end}{after}")).with_context(|| path.display().to_string())?;
    println!("docs/{name} has the matrix");
    Ok(())
}
