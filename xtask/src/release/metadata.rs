//! What a component says of itself: name, version, licence, description, source and revision.

use wasm_metadata::{AddMetadata, AddMetadataField, Description, Licenses, Revision, Source, Version};

use super::{Artefact, Release};
use crate::error::{Error, Result};

/// The component with its metadata, in place of any before.
pub(super) fn add(component: &[u8], release: &Release, artefact: &Artefact) -> Result<Vec<u8>> {
    let mut add = AddMetadata::default();
    add.name = AddMetadataField::Set(artefact.title.into());
    add.version = AddMetadataField::Set(Version::new(release.version.clone()));
    add.licenses = AddMetadataField::Set(Licenses::new(&release.licence).map_err(wrong)?);
    add.description = AddMetadataField::Set(Description::new(artefact.description));
    add.source = AddMetadataField::Set(Source::new(&release.source).map_err(wrong)?);
    add.revision = AddMetadataField::Set(Revision::new(release.revision.clone()));
    add.to_wasm(component).map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> Error {
    Error::Release(format!("metadata: {error:#}"))
}

#[cfg(test)]
mod tests {
    use wasm_metadata::Payload;

    use super::super::tests::release;
    use super::*;

    #[test]
    fn component_says_what_it_is() {
        let artefact = Artefact { name: "mqtt", title: "mqtt-wasi", description: "A client" };
        // The shortest component.
        let empty = b"\0asm\x0d\0\x01\0";
        let once = add(empty, &release(), &artefact).unwrap();
        assert_eq!(once, add(empty, &release(), &artefact).unwrap());
        let payload = Payload::from_binary(&once).unwrap();
        let metadata = payload.metadata();
        assert_eq!(metadata.name.as_deref(), Some("mqtt-wasi"));
        let said = [
            metadata.version.as_ref().map(ToString::to_string),
            metadata.licenses.as_ref().map(ToString::to_string),
            metadata.description.as_ref().map(ToString::to_string),
            metadata.revision.as_ref().map(ToString::to_string),
        ];
        assert_eq!(said, ["0.3.0", "MIT OR Apache-2.0", "A client", "975d433"].map(|text| Some(text.into())));
        assert_eq!(metadata.authors, None, "it names no person");
    }
}
