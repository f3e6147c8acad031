//! Everything that a release has, in one folder, without publishing any of it. What is made twice is the same.

mod metadata;
mod notes;
mod oci;
mod sbom;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::args::BuildOptions;
use crate::components;
use crate::error::{At, Error, Result};
use crate::package;
use crate::process::{read, run, step};
use crate::workspace::{cargo, root, target};

/// What is published, with what it is.
const COMPONENTS: [Artefact; 9] = [
    Artefact {
        name: "mqtt",
        title: "mqtt-wasi",
        description: "An MQTT v5.0 client as a component that exports mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-tls",
        title: "mqtt-wasi-tls",
        description: "An MQTT v5.0 client with TLS as a component that exports mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-tls-wide",
        title: "mqtt-wasi-tls-wide",
        description: "An MQTT v5.0 client with TLS, for engines with wide arithmetic, as a component that exports \
                      mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-host-tls",
        title: "mqtt-wasi-host-tls",
        description: "An MQTT v5.0 client with the TLS of its host as a component that exports mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-ws",
        title: "mqtt-wasi-ws",
        description: "An MQTT v5.0 client over TCP, WebSocket and proxies as a component that exports mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-wss",
        title: "mqtt-wasi-wss",
        description: "An MQTT v5.0 client over TCP, TLS, WebSocket and proxies as a component that exports \
                      mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-p3",
        title: "mqtt-wasi-p3",
        description: "An MQTT v5.0 client for WASI 0.3 as a component that exports mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-p3-tls",
        title: "mqtt-wasi-p3-tls",
        description: "An MQTT v5.0 client with TLS for WASI 0.3 as a component that exports mqtt-wasi:client",
    },
    Artefact {
        name: "mqtt-cli",
        title: "mqtt-cli",
        description: "A command-line client for MQTT v5.0: pub, sub, rr, bench and info",
    },
];

/// The interfaces alone.
const INTERFACES: [Artefact; 2] = [
    Artefact {
        name: package::P2.file,
        title: "mqtt-wasi-client",
        description: "The interface mqtt-wasi:client for WASI 0.2",
    },
    Artefact {
        name: package::P3.file,
        title: "mqtt-wasi-client-p3",
        description: "The interface mqtt-wasi:client for WASI 0.3",
    },
];

/// The packages that are for a package registry.
const CRATES: [&str; 3] = ["mqtt-wasi", "mqtt-cli", "mqtt-wasi-testing"];

/// A component, or a package of interfaces, that is published.
struct Artefact {
    name: &'static str,
    title: &'static str,
    description: &'static str,
}

/// What a release is of.
struct Release {
    version: String,
    licence: String,
    source: String,
    /// The commit.
    revision: String,
    /// When that was made, in seconds since 1970 and as RFC 3339 has it: a release has no other time in it.
    seconds: u64,
    time: String,
}

/// The files of a release by their paths in its folder.
type Files = BTreeMap<String, Vec<u8>>;

/// Builds all parts, puts them together twice, and writes them if both are the same.
pub(crate) fn make() -> Result<()> {
    let release = Release::of_head()?;
    let only: Vec<String> = COMPONENTS.iter().map(|component| component.name.into()).collect();
    components::build(&BuildOptions { only, quiet: true, ..BuildOptions::default() })?;
    step("putting the release together, twice");
    let (files, again) = (release.files()?, release.files()?);
    if let Some((path, _)) = files.iter().find(|(path, bytes)| again.get(*path) != Some(bytes)) {
        return Err(Error::Release(format!("{path} is not the same when it is made again")));
    }
    let folder = target().join("release-files").join(&release.version);
    // What an earlier run left does not belong to this release.
    if folder.exists() {
        fs::remove_dir_all(&folder).at(&folder)?;
    }
    for (path, bytes) in &files {
        components::replace(&folder.join(path), bytes)?;
    }
    for (path, bytes) in files.iter().filter(|(path, _)| !path.starts_with("oci/")) {
        println!("{:>9}  {path}", bytes.len());
    }
    println!("in {}, of revision {}", folder.strip_prefix(root()).unwrap_or(&folder).display(), release.revision);
    if release.is_changed()? {
        println!("not for publishing: there are changes that are not committed");
    }
    Ok(())
}

impl Release {
    fn of_head() -> Result<Self> {
        let package = read(&mut cargo("metadata --format-version 1 --no-deps --offline"))?;
        let package: serde_json::Value = serde_json::from_str(&package).map_err(|error| unusable("cargo", error))?;
        let packages = package["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let package = packages.iter().find(|package| package["name"] == CRATES[0]);
        let field = |name: &str| package.and_then(|package| package[name].as_str()).unwrap_or_default().to_owned();
        let head = |format: &str| git(&["log", "-1", &format!("--format={format}")]);
        let seconds = head("%ct")?;
        Ok(Self {
            version: field("version"),
            licence: field("license"),
            source: field("repository"),
            revision: head("%H")?,
            time: utc(&seconds)?,
            seconds: seconds.parse().map_err(|error| unusable("git", error))?,
        })
    }

    fn is_changed(&self) -> Result<bool> {
        git(&["status", "--porcelain", "--untracked-files=no"]).map(|changes| !changes.is_empty())
    }

    /// All files, each made from what was built.
    fn files(&self) -> Result<Files> {
        let mut files = Files::new();
        self.add_components(&mut files, &components::folder())?;
        for path in self.packages()?.into_iter().chain(hosts(&self.version)?) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, read_file(&path)?);
        }
        self.add_documents(&mut files)?;
        Ok(files)
    }

    /// The components of this folder with metadata, the interfaces, and a layout of each.
    fn add_components(&self, files: &mut Files, folder: &Path) -> Result<()> {
        for component in COMPONENTS {
            let built = read_file(&folder.join(format!("{}.wasm", component.name)))?;
            let bytes = metadata::add(&built, self, &component)?;
            oci::layout(files, self, component.title, component.description, &bytes)?;
            files.insert(format!("{}.wasm", component.name), bytes);
        }
        for interface in INTERFACES {
            let bytes = read_file(&folder.join(interface.name))?;
            oci::layout(files, self, interface.title, interface.description, &bytes)?;
            files.insert(interface.name.into(), bytes);
        }
        Ok(())
    }

    /// What the packages depend on, the notes, and the checksums of all files so far.
    fn add_documents(&self, files: &mut Files) -> Result<()> {
        for package in CRATES {
            files.insert(format!("{package}.cdx.json"), sbom::of(package, self)?.into_bytes());
        }
        let changelog = read_text(&root().join("CHANGELOG.md"))?;
        files.insert("NOTES.md".into(), notes::of(&changelog, &self.version)?.into_bytes());
        let sums = files.iter().filter(|(path, _)| !path.starts_with("oci/"));
        let sums = sums.map(|(path, bytes)| format!("{}  {path}\n", sha256(bytes))).collect::<String>();
        files.insert("SHA256SUMS".into(), sums.into_bytes());
        Ok(())
    }

    /// The archives that cargo makes of the packages. The release check-list builds and tests them.
    fn packages(&self) -> Result<Vec<PathBuf>> {
        let mut package = cargo("package --quiet --locked --no-verify --allow-dirty");
        package.args(CRATES.iter().flat_map(|package| ["--package", package]));
        // Archives have the time of files that cargo writes itself from here.
        package.env("SOURCE_DATE_EPOCH", self.seconds.to_string());
        run(&mut package)?;
        let folder = target().join("package");
        Ok(CRATES.iter().map(|package| folder.join(format!("{package}-{}.crate", self.version))).collect())
    }
}

/// The archives for npm and for Python, where `cargo xtask hosts` has made them of this version.
fn hosts(version: &str) -> Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for folder in ["node", "python/dist"].map(|folder| target().join("hosts").join(folder)) {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).at(&folder)? {
            let path = entry.at(&folder)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_archive = [".tgz", ".tar.gz", ".whl"].iter().any(|end| name.ends_with(end));
            if is_archive && name.contains(&format!("-{version}")) {
                archives.push(path);
            }
        }
    }
    Ok(archives)
}

/// The hash of bytes, in hex.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn git(arguments: &[&str]) -> Result<String> {
    Ok(read(Command::new("git").current_dir(root()).args(arguments))?.trim().to_owned())
}

/// Seconds since 1970 as RFC 3339 has them, in UTC: the days by the rule of the Gregorian calendar.
fn utc(seconds: &str) -> Result<String> {
    let seconds: i64 = seconds.parse().map_err(|error| unusable("git", error))?;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Eras of 400 years, which begin in March, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).at(path)
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).at(path)
}

pub(crate) fn unusable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Release(format!("what {what} prints cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::is_ci;

    pub(super) fn release() -> Release {
        Release {
            version: "0.3.0".into(),
            licence: "MIT OR Apache-2.0".into(),
            source: "https://github.com/mqtt-wasi/mqtt-wasi".into(),
            revision: "975d433".into(),
            seconds: 1_700_000_000,
            time: "2023-11-14T22:13:20Z".into(),
        }
    }

    /// All that needs no build, of the components that the other tests run. `cargo xtask test` names their folder.
    fn of_what_is_built() -> Option<Files> {
        let Some(folder) = std::env::var_os(components::FOLDER_VARIABLE) else {
            assert!(!is_ci(), "the components have to be there in CI");
            println!("skipped: {} does not name the folder of the components", components::FOLDER_VARIABLE);
            return None;
        };
        let mut files = Files::new();
        release().add_components(&mut files, Path::new(&folder)).unwrap();
        release().add_documents(&mut files).unwrap();
        Some(files)
    }

    #[test]
    fn release_has_all_parts_and_their_checksums() {
        let Some(files) = of_what_is_built() else { return };
        let names: Vec<_> = files.keys().filter(|path| !path.starts_with("oci/")).map(String::as_str).collect();
        let expected = [
            "NOTES.md",
            "SHA256SUMS",
            "mqtt-cli.cdx.json",
            "mqtt-cli.wasm",
            "mqtt-host-tls.wasm",
            "mqtt-p3-tls.wasm",
            "mqtt-p3.wasm",
            "mqtt-tls-wide.wasm",
            "mqtt-tls.wasm",
            "mqtt-wasi-client-p3.wit.wasm",
            "mqtt-wasi-client.wit.wasm",
            "mqtt-wasi-testing.cdx.json",
            "mqtt-wasi.cdx.json",
            "mqtt-ws.wasm",
            "mqtt-wss.wasm",
            "mqtt.wasm",
        ];
        assert_eq!(names, expected);
        let sums = String::from_utf8(files["SHA256SUMS"].clone()).unwrap();
        let sums: Vec<_> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
        assert_eq!(sums.len(), expected.len() - 1, "one for each file but itself");
        for (sum, path) in sums {
            assert_eq!(sum, sha256(&files[path]), "{path}");
        }
        let layouts: Vec<_> = files.keys().filter(|path| path.ends_with("/oci-layout")).collect();
        assert_eq!(layouts.len(), COMPONENTS.len() + INTERFACES.len());
    }

    #[test]
    fn components_say_what_they_are_and_name_nobody() {
        let Some(files) = of_what_is_built() else { return };
        for component in COMPONENTS {
            let bytes = &files[&format!("{}.wasm", component.name)];
            let payload = wasm_metadata::Payload::from_binary(bytes).unwrap();
            let metadata = payload.metadata();
            assert_eq!(metadata.name.as_deref(), Some(component.title));
            assert_eq!(metadata.version.as_ref().map(ToString::to_string).as_deref(), Some("0.3.0"));
            assert_eq!(metadata.authors, None, "{}", component.name);
            // It is the same component behind that.
            let decoded = wit_component::decode(bytes);
            assert!(matches!(decoded, Ok(wit_component::DecodedWasm::Component(..))), "{}", component.name);
        }
        for package in CRATES {
            let text = String::from_utf8(files[&format!("{package}.cdx.json")].clone()).unwrap();
            let sbom: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(sbom["metadata"]["component"]["name"], package);
            let parts = sbom["components"].as_array().unwrap();
            let has = |name: &str| parts.iter().any(|part| part["name"] == name);
            assert!(!parts.is_empty() && !has("wasmtime") && !has("proptest"), "{package} has what its tests need");
            assert!(has("rustls") || package != "mqtt-wasi", "{package}");
            assert!(!text.contains("author") && !text.contains("mailto"), "{package}");
        }
    }

    #[test]
    fn what_is_made_twice_is_the_same() {
        let Some(files) = of_what_is_built() else { return };
        let again = of_what_is_built().unwrap();
        let differs: Vec<_> = files.iter().filter(|(path, bytes)| again.get(*path) != Some(bytes)).collect();
        assert!(differs.is_empty() && files.len() == again.len());
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, time) in [
            ("0", "1970-01-01T00:00:00Z"),
            ("951782400", "2000-02-29T00:00:00Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1735689599", "2024-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds).unwrap(), time);
        }
        assert!(utc("now").is_err());
    }

    #[test]
    fn hash_is_that_of_the_standard() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
