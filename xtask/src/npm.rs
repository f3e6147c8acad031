//! Programs from npm, at the versions of a lock file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{At, Result};
use crate::process::run;

/// Installs what `package-lock.json` in `source` says into `folder`, once; returns the folder of the programs.
pub(crate) fn install(source: &Path, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).at(folder)?;
    // Another command may be about to do the same: until this is closed, it waits.
    let guard = folder.join("installing");
    let installing = File::create(&guard).at(&guard)?;
    installing.lock().at(&guard)?;
    let lock = source.join("package-lock.json");
    let locked = fs::read(&lock).at(&lock)?;
    let installed = folder.join("installed-package-lock.json");
    if !fs::read(&installed).is_ok_and(|old| old == locked) {
        for name in ["package.json", "package-lock.json"] {
            let (from, to) = (source.join(name), folder.join(name));
            fs::copy(&from, &to).at(&from)?;
        }
        run(Command::new("npm").current_dir(folder).args(["ci", "--silent", "--no-audit", "--no-fund"]))?;
        fs::write(&installed, locked).at(&installed)?;
    }
    Ok(folder.join("node_modules/.bin"))
}
