//! Debian's Rust, which has the wasm32-wasip2 target: fetched with apt into a folder, the system left as it is.
//!
//! The packages are newer than most systems, so their `rustc` runs under the C library that comes with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{At, Unavailable};
use crate::process::{read, run, step};

pub(crate) const SUITE: &str = "forky";
pub(crate) const PACKAGES: [&str; 3] = ["rustc", "libstd-rust-dev", "libstd-rust-dev-wasm32"];

/// The compiler, in the folder that the packages are unpacked to.
pub(crate) const RUSTC: &str = "rustc";

/// What comes with the target that is wanted, at a hundred megabytes each.
const UNUSED_TARGETS: [&str; 2] = ["wasm32-unknown-unknown", "wasm32-wasip1"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

type Result<T, E = Unavailable> = crate::error::Result<T, E>;

/// Fetches Debian's Rust within a folder of its own; returns the folder in there where `RUSTC` then runs.
pub(crate) fn fetch(work: &Path) -> Result<PathBuf> {
    let architecture = Architecture::current()?;
    let apt = Apt::new(work.join("apt"), architecture.debian)?;
    step("reading Debian's package lists");
    apt.update()?;
    let debs = apt.download(&apt.packages()?)?;
    step("unpacking them");
    let root = work.join("root");
    unpack(&debs, &root)?;
    write_program(&root.join(RUSTC), &architecture.wrapper())?;
    Ok(root)
}

/// A processor architecture in the names that differ from one to the next.
struct Architecture {
    name: &'static str,
    debian: &'static str,
    loader: &'static str,
}

impl Architecture {
    const KNOWN: [Self; 2] = [
        Self { name: "x86_64", debian: "amd64", loader: "ld-linux-x86-64.so.2" },
        Self { name: "aarch64", debian: "arm64", loader: "ld-linux-aarch64.so.1" },
    ];

    fn current() -> Result<Self> {
        let name = std::env::consts::ARCH;
        Self::KNOWN.into_iter().find(|known| known.name == name).ok_or(Unavailable::Architecture(name))
    }

    /// The program that stands for Debian's `rustc`, to which Debian has no linker for components.
    fn wrapper(&self) -> String {
        let Self { name, loader, .. } = self;
        format!(
            r#"#!/bin/sh
# Debian's rustc under Debian's own loader; the linker for components is the active toolchain's.
root=$(cd "$(dirname "$0")" && pwd) || exit
libraries=$root/usr/lib/{name}-linux-gnu
tools=$(dirname "$(env -u RUSTC rustc --print target-libdir)")/bin
PATH=$tools:$tools/gcc-ld:$PATH exec "$libraries/{loader}" --library-path "$libraries" \
  "$root/usr/bin/rustc" --sysroot "$root/usr" "$@"
"#
        )
    }
}

/// An apt with lists and a cache of its own, to which nothing is installed.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: PathBuf, architecture: &str) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial", "debs"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).at(&path)?;
        }
        let settings = folder.join("apt.conf");
        fs::write(&settings, apt_settings(&folder, architecture)).at(&settings)?;
        Ok(Self { folder })
    }

    /// Reads `SUITE`'s lists from the first of the machine's own mirrors that has them.
    fn update(&self) -> Result<()> {
        // Names as in apt's own defaults: here, the machine's sources are what is asked for.
        let uris = read(
            self.command("apt-get")
                .args(["-o", "Dir::Etc::SourceList=sources.list", "-o", "Dir::Etc::SourceParts=sources.list.d"])
                .args(["update", "--print-uris"]),
        )?;
        let list = self.folder.join("sources.list");
        for mirror in mirrors(&uris) {
            fs::write(&list, format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")).at(&list)?;
            if run(self.command("apt-get").args(["-qq", "update"])).is_ok() {
                return Ok(());
            }
        }
        Err(Unavailable::Mirror)
    }

    /// `PACKAGES`, and every library that the compiler's own library links to.
    fn packages(&self) -> Result<BTreeSet<String>> {
        let direct = self.depends(&["libstd-rust-dev"])?;
        let compiler: Vec<_> = dependencies(&direct).collect();
        let libraries = self.depends(&[&["--recurse"], compiler.as_slice()].concat())?;
        Ok(PACKAGES.into_iter().chain(packages(&libraries)).map(String::from).collect())
    }

    fn depends(&self, args: &[&str]) -> Result<String> {
        Ok(read(self.command("apt-cache").args(["depends", "--important"]).args(args))?)
    }

    /// Downloads packages, which apt verifies, and returns their files.
    fn download(&self, packages: &BTreeSet<String>) -> Result<Vec<PathBuf>> {
        let uris = read(self.command("apt-get").args(["download", "--print-uris"]).args(packages))?;
        step(&format!("downloading {} packages, {} MB", packages.len(), total_bytes(&uris) / 1_000_000));
        let debs = self.folder.join("debs");
        run(self.command("apt-get").args(["-qq", "download"]).args(packages).current_dir(&debs))?;
        let entries = fs::read_dir(&debs).at(&debs)?;
        entries.map(|entry| Ok(entry.at(&debs)?.path())).collect()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // What they print is read here, so it must not be translated.
        command.env("LC_ALL", "C").arg("-c").arg(self.folder.join("apt.conf"));
        command
    }
}

fn apt_settings(folder: &Path, architecture: &str) -> String {
    let folder = folder.display();
    format!(
        r#"// No hook of the machine's, such as one that empties its cache.
#clear APT::Update;
Dir::State::Lists "{folder}/lists";
Dir::State::Status "/dev/null";
Dir::Cache "{folder}/cache";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
APT::Architecture "{architecture}";
APT::Architectures "{architecture}";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"#
    )
}

/// The places of Debian's main archive in what `apt-get update --print-uris` prints.
fn mirrors(uris: &str) -> BTreeSet<&str> {
    uris.lines()
        .filter_map(|line| Some(line.strip_prefix('\'')?.split_once("/dists/")?.0))
        .filter(|mirror| mirror.ends_with("/debian") || mirror.ends_with("/debian.list"))
        .collect()
}

/// What the package depends on directly, in what `apt-cache depends` prints.
fn dependencies(printed: &str) -> impl Iterator<Item = &str> {
    printed.lines().filter_map(|line| line.trim_start().strip_prefix("Depends: "))
}

/// The packages themselves in what `apt-cache depends --recurse` prints; virtual ones stand in `<>`.
fn packages(printed: &str) -> impl Iterator<Item = &str> {
    printed.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_alphanumeric()))
}

/// The sum of the sizes in what `apt-get download --print-uris` prints.
fn total_bytes(uris: &str) -> u64 {
    uris.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<u64>().ok()).sum()
}

fn unpack(debs: &[PathBuf], root: &Path) -> Result<()> {
    for deb in debs {
        run(Command::new("dpkg").arg("--extract").arg(deb).arg(root))?;
    }
    for target in UNUSED_TARGETS {
        let folder = root.join("usr/lib/rustlib").join(target);
        fs::remove_dir_all(&folder).at(&folder)?;
    }
    Ok(())
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).at(path)?;
    Ok(run(Command::new("chmod").arg("+x").arg(path))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_debians_main_archive() {
        let uris = "'http://deb.example/debian/dists/bookworm/InRelease' deb_InRelease 0 \n\
                    'http://deb.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' deb_Packages 0 \n\
                    'http://deb.example/debian-security/dists/bookworm-security/InRelease' sec_InRelease 0 \n\
                    'mirror+file:/etc/apt/mirrors/debian.list/dists/bookworm/InRelease' list_InRelease 0 \n\
                    'https://other.example/flat/./InRelease' flat_InRelease 0 \n";
        let expected = ["http://deb.example/debian", "mirror+file:/etc/apt/mirrors/debian.list"];
        assert_eq!(mirrors(uris), BTreeSet::from(expected));
    }

    #[test]
    fn packages_are_read_off_a_dependency_tree() {
        let printed = "libstd-rust-1.97\n  Depends: libc6\n |Depends: libllvm22\n  Depends: <virtual>\n    real\nlibc6\n<virtual>\n";
        assert_eq!(dependencies(printed).next(), Some("libc6"));
        assert_eq!(packages(printed).collect::<Vec<_>>(), ["libstd-rust-1.97", "libc6"]);
    }

    #[test]
    fn sizes_of_a_download_add_up() {
        let uris =
            "'http://deb.example/a.deb' a.deb 38676 SHA256:7d\n'http://deb.example/b.deb' b.deb 1000 SHA256:5c\n";
        assert_eq!(total_bytes(uris), 39_676);
    }

    #[test]
    fn wrapper_runs_rustc_under_the_loader_that_came_with_it() {
        for architecture in Architecture::KNOWN {
            let wrapper = architecture.wrapper();
            assert!(wrapper.starts_with("#!/bin/sh\n"));
            assert!(wrapper.contains(&format!("libraries=$root/usr/lib/{}-linux-gnu\n", architecture.name)));
            assert!(wrapper.contains(&format!("exec \"$libraries/{}\" --library-path", architecture.loader)));
            assert!(wrapper.ends_with("\"$@\"\n"));
        }
    }
}
