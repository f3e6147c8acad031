//! Which Rust builds for wasm32-wasip2: the active one if it can, else Debian's, fetched once and kept.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use crate::debian;
use crate::error::{At, Result, Unavailable};
use crate::process::{read, step};
use crate::workspace;

pub(crate) const TARGET: &str = "wasm32-wasip2";

/// A Rust that has the standard library for `TARGET`.
pub(crate) enum Toolchain {
    /// The one that cargo uses by itself.
    Active,
    /// Debian's, by its `rustc`; cargo and the linker are still the active toolchain's.
    Debian(PathBuf),
}

impl Toolchain {
    pub(crate) fn find_or_fetch() -> Result<Self> {
        let active = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        if has_target(&active) {
            return Ok(Self::Active);
        }
        if !has_linker(&active) {
            return Err(Unavailable::Linker.into());
        }
        let cache = Cache::of_the_user().ok_or(Unavailable::CacheFolder)?;
        Ok(Self::Debian(cache.find_or_fetch()?))
    }

    /// Makes a cargo command use this toolchain.
    pub(crate) fn apply(&self, cargo: &mut Command) {
        if let Self::Debian(rustc) = self {
            cargo.env("RUSTC", rustc);
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => write!(f, "the active toolchain (it has {TARGET})"),
            Self::Debian(rustc) => write!(f, "{} (the active toolchain lacks {TARGET})", rustc.display()),
        }
    }
}

/// The folder where fetched toolchains are kept.
struct Cache(PathBuf);

impl Cache {
    fn of_the_user() -> Option<Self> {
        let caches = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
            Some(folder) if folder.is_absolute() => folder,
            _ => env::home_dir()?.join(".cache"),
        };
        Some(Self(caches.join("mqtt-wasi/wasm-toolchain")))
    }

    fn find_or_fetch(&self) -> Result<PathBuf, Unavailable> {
        let home = self.0.join(format!("{}-{}", debian::SUITE, env::consts::ARCH));
        let rustc = home.join(debian::RUSTC);
        if has_target(&rustc) {
            return Ok(rustc);
        }
        fs::create_dir_all(&self.0).at(&self.0)?;
        let _lock = self.lock()?;
        // Another process may have fetched it while this one waited.
        if !has_target(&rustc) {
            let partial = self.0.join("partial");
            remove_folder(&partial)?;
            // What an interrupted fetch has left running must not write into this one's folder.
            let fetched = fetch(&partial.join(process::id().to_string()), &home);
            remove_folder(&partial)?;
            fetched?;
        }
        Ok(rustc)
    }

    /// Waits until no other process fetches.
    fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let file = File::create(&path).at(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => Err(error).at(&path)?,
            Err(TryLockError::WouldBlock) => {
                step("waiting for another process to fetch the wasm toolchain");
                file.lock().at(&path)?;
            }
        }
        Ok(file)
    }
}

/// Fetches Debian's Rust into `partial` and moves it to `home` once it is seen to work.
fn fetch(partial: &Path, home: &Path) -> Result<(), Unavailable> {
    step(&format!("fetching Debian's Rust, as the active toolchain lacks {TARGET}: once, into {}", home.display()));
    let root = debian::fetch(partial)?;
    if !has_target(root.join(debian::RUSTC)) {
        return Err(Unavailable::Broken);
    }
    remove_folder(home)?;
    fs::rename(&root, home).at(home)?;
    Ok(())
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.at(path),
    }
}

fn has_target(rustc: impl AsRef<OsStr>) -> bool {
    let is_std = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    library_folder(rustc, &["--target", TARGET])
        .and_then(|folder| fs::read_dir(folder).ok())
        .is_some_and(|entries| entries.flatten().any(is_std))
}

fn has_linker(rustc: impl AsRef<OsStr>) -> bool {
    let name = format!("bin/wasm-component-ld{}", env::consts::EXE_SUFFIX);
    library_folder(rustc, &[]).is_some_and(|folder| folder.with_file_name(name).exists())
}

/// Where a compiler, if it runs at all, looks for the standard library.
fn library_folder(rustc: impl AsRef<OsStr>, target: &[&str]) -> Option<PathBuf> {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir"]).args(target).current_dir(workspace::root());
    read(command.stderr(Stdio::null())).ok().map(|folder| PathBuf::from(folder.trim_end()))
}
