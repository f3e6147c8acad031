//! The interface as a file that other tools resolve, and its documentation in the components.

use wasm_encoder::{ComponentSection, CustomSection};
use wit_parser::{PackageId, PackageMetadata, Resolve};

use crate::components;
use crate::error::{Error, Result};
use crate::workspace;

/// A package of `wit/`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    folder: &'static str,
    /// What its file is called in the folder of components.
    pub(crate) file: &'static str,
}

/// For WASI 0.2.
pub(crate) const P2: Package = Package { folder: "wit", file: "mqtt-wasi-client.wit.wasm" };

/// For WASI 0.3.
pub(crate) const P3: Package = Package { folder: "wit/p3", file: "mqtt-wasi-client-p3.wit.wasm" };

/// Where a component has the docs of its world: tools call the component's own world `root`, and show the docs with it.
const ROOT: &str = "package root:component;\n\n";

/// Encodes the packages, with their documentation, and returns how large the files are.
pub(crate) fn build() -> Result<Vec<(String, usize)>> {
    [P2, P3].into_iter().map(Package::encode).collect()
}

impl Package {
    fn encode(self) -> Result<(String, usize)> {
        let (resolve, package) = self.parse()?;
        let bytes = wit_component::encode(&resolve, package, false).map_err(invalid)?;
        components::replace(&components::folder().join(self.file), &bytes)?;
        Ok((self.file.into(), bytes.len()))
    }

    /// Adds what the world says of itself to the component that is of it.
    pub(crate) fn add_docs(self, component: &mut Vec<u8>, world: &str) -> Result<()> {
        let (resolve, package) = self.parse()?;
        let world =
            resolve.worlds[resolve.packages[package].worlds[world]].docs.contents.as_deref().unwrap_or_default();
        let docs = "The interfaces are those of the WIT package mqtt-wasi:client, whose documentation is in its file.";
        let lines = world.lines().chain(["", docs]).map(|line| format!("/// {line}\n")).collect::<String>();
        let mut root = Resolve::default();
        let root_package = root.push_str("root.wit", &format!("{ROOT}{lines}world root {{}}\n")).map_err(invalid)?;
        let data = PackageMetadata::extract(&root, root_package).encode().map_err(invalid)?;
        let section = CustomSection { name: PackageMetadata::SECTION_NAME.into(), data: data.into() };
        section.append_to_component(component);
        Ok(())
    }

    /// Its text.
    pub(crate) fn parse(self) -> Result<(Resolve, PackageId)> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(workspace::root().join(self.folder)).map_err(invalid)?;
        Ok((resolve, package))
    }
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::Wit(format!("{error:#}"))
}
