//! Makes a component smaller without changing what it does: its core modules go through binaryen, and the names that
//! only the inside of a component sees become short.

use std::collections::HashMap;

use wasm_encoder::reencode::{self, Reencode, ReencodeComponent, component_utils, utils};
use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ComponentImportSection, ComponentInstanceSection, ComponentSectionId,
    ExportSection, ImportSection, InstanceSection, Module, ModuleArg, RawSection,
};
use wasmparser::{Parser, Validator, WasmFeatures};

use crate::binaryen::{Binaryen, Kind};
use crate::error::{Error, Result};

/// What the imports of a nested component begin with: the component around it gives them, nobody else.
const INNER_IMPORT: &str = "import-";

/// Returns the component, which may have wide arithmetic in it, smaller, without binaryen by its names only; and what
/// the names became.
pub(crate) fn shrink(
    component: &[u8],
    binaryen: Option<&Binaryen>,
    kind: Kind,
) -> Result<(Vec<u8>, HashMap<String, String>)> {
    let mut smaller = Smaller { binaryen, kind, names: Names::default(), depth: 0 };
    let mut encoded = Component::new();
    smaller.parse_component(&mut encoded, Parser::new(0), component).map_err(|error| Error::Wasm(error.to_string()))?;
    let bytes = encoded.finish();
    let mut features = WasmFeatures::default();
    features.set(WasmFeatures::WIDE_ARITHMETIC, kind.is_wide);
    Validator::new_with_features(features).validate_all(&bytes).map_err(|error| Error::Wasm(error.to_string()))?;
    Ok((bytes, smaller.names.0))
}

struct Smaller<'a> {
    binaryen: Option<&'a Binaryen>,
    kind: Kind,
    names: Names,
    /// How many components there are around this one.
    depth: u32,
}

/// One short name for each long one, wherever it stands, so that those that were equal stay equal.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn short(&mut self, name: &str) -> &str {
        let next = self.0.len();
        self.0.entry(name.into()).or_insert_with(|| nth(next))
    }
}

/// The name of this number: a letter, and behind it letters and digits, as names in components have to be.
fn nth(mut number: usize) -> String {
    const FIRST: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    const NEXT: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut name = String::from(char::from(FIRST[number % FIRST.len()]));
    number /= FIRST.len();
    while number > 0 {
        number -= 1;
        name.push(char::from(NEXT[number % NEXT.len()]));
        number /= NEXT.len();
    }
    name
}

type Encoded<T = ()> = Result<T, reencode::Error<Error>>;

impl Reencode for Smaller<'_> {
    type Error = Error;

    fn parse_export(&mut self, exports: &mut ExportSection, export: wasmparser::Export<'_>) -> Encoded {
        let kind = self.export_kind(export.kind)?;
        exports.export(self.names.short(export.name), kind, export.index);
        Ok(())
    }

    fn parse_import(&mut self, imports: &mut ImportSection, import: wasmparser::Import<'_>) -> Encoded {
        let entity = self.entity_type(import.ty)?;
        let module = self.names.short(import.module).to_owned();
        imports.import(&module, self.names.short(import.name), entity);
        Ok(())
    }

    fn parse_imports(&mut self, section: &mut ImportSection, imports: wasmparser::Imports<'_>) -> Encoded {
        for import in imports {
            self.parse_import(section, import?.1)?;
        }
        Ok(())
    }

    /// What is for debuggers goes.
    fn parse_custom_section(&mut self, _: &mut Module, _: wasmparser::CustomSectionReader<'_>) -> Encoded {
        Ok(())
    }
}

impl ReencodeComponent for Smaller<'_> {
    fn parse_component_submodule(&mut self, component: &mut Component, parser: Parser, module: &[u8]) -> Encoded {
        let mut encoded = Module::new();
        utils::parse_core_module(self, &mut encoded, parser, module)?;
        let mut bytes = encoded.finish();
        if let Some(binaryen) = self.binaryen {
            bytes = binaryen.optimise(&bytes, self.kind).map_err(reencode::Error::UserError)?;
        }
        component.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data: &bytes });
        Ok(())
    }

    fn push_depth(&mut self) {
        self.depth += 1;
    }

    fn pop_depth(&mut self) {
        self.depth -= 1;
    }

    /// The exports of core modules are named in aliases, too.
    fn parse_component_alias_section(
        &mut self,
        aliases: &mut ComponentAliasSection,
        section: wasmparser::ComponentAliasSectionReader<'_>,
    ) -> Encoded {
        for alias in section {
            match self.component_alias(alias?)? {
                Alias::CoreInstanceExport { instance, kind, name } => {
                    let name = self.names.short(name);
                    aliases.alias(Alias::CoreInstanceExport { instance, kind, name });
                }
                alias => {
                    aliases.alias(alias);
                }
            }
        }
        Ok(())
    }

    fn parse_instance(&mut self, instances: &mut InstanceSection, instance: wasmparser::Instance<'_>) -> Encoded {
        match instance {
            wasmparser::Instance::Instantiate { module_index, args } => {
                let args =
                    args.iter().map(|arg| (self.names.short(arg.name).to_owned(), ModuleArg::Instance(arg.index)));
                instances.instantiate(module_index, args.collect::<Vec<_>>());
            }
            wasmparser::Instance::FromExports(exports) => {
                let mut items = Vec::new();
                for export in exports {
                    let kind = self.export_kind(export.kind)?;
                    items.push((self.names.short(export.name).to_owned(), kind, export.index));
                }
                instances.export_items(items);
            }
        }
        Ok(())
    }

    fn parse_component_import_section(
        &mut self,
        imports: &mut ComponentImportSection,
        section: wasmparser::ComponentImportSectionReader<'_>,
    ) -> Encoded {
        for import in section {
            let import = import?;
            let kind = self.component_type_ref(import.ty)?;
            if self.depth > 0 && import.name.name.starts_with(INNER_IMPORT) {
                imports.import(self.names.short(import.name.name), kind);
            } else {
                imports.import(import.name, kind);
            }
        }
        Ok(())
    }

    fn parse_component_instance(
        &mut self,
        instances: &mut ComponentInstanceSection,
        instance: wasmparser::ComponentInstance<'_>,
    ) -> Encoded {
        let wasmparser::ComponentInstance::Instantiate { component_index, args } = instance else {
            return component_utils::parse_component_instance(self, instances, instance);
        };
        let args = args.iter().map(|arg| {
            let is_inner = arg.name.starts_with(INNER_IMPORT);
            let name = if is_inner { self.names.short(arg.name).to_owned() } else { arg.name.to_owned() };
            (name, arg.kind.into(), arg.index)
        });
        instances.instantiate(component_index, args.collect::<Vec<_>>());
        Ok(())
    }

    fn parse_component_custom_section(&mut self, _: &mut Component, _: wasmparser::CustomSectionReader<'_>) -> Encoded {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wasm_encoder::{ExportKind, ModuleSection};

    use super::*;

    const PLAIN: Kind = Kind { is_wide: false, is_small: false };

    #[test]
    fn short_names_differ_and_are_names_in_components() {
        let names: HashSet<_> = (0..5_000).map(nth).collect();
        assert_eq!(names.len(), 5_000);
        assert!(names.iter().all(|name| name.starts_with(|first: char| first.is_ascii_lowercase()) && name.len() <= 3));
    }

    #[test]
    fn a_core_export_and_its_alias_are_shortened_alike() {
        let mut module = Module::new();
        let mut memories = wasm_encoder::MemorySection::new();
        let memory = wasm_encoder::MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        };
        memories.memory(memory);
        let mut exports = ExportSection::new();
        exports.export("a:long/name#[method]of.an-export", ExportKind::Memory, 0);
        module.section(&memories).section(&exports);
        let mut instances = InstanceSection::new();
        instances.instantiate(0, [] as [(&str, ModuleArg); 0]);
        let mut aliases = ComponentAliasSection::new();
        aliases.alias(Alias::CoreInstanceExport {
            instance: 0,
            kind: ExportKind::Memory,
            name: "a:long/name#[method]of.an-export",
        });
        let mut component = Component::new();
        component.section(&ModuleSection(&module)).section(&instances).section(&aliases);
        let component = component.finish();

        // Where the two differed, it would not validate.
        let (smaller, names) = shrink(&component, None, PLAIN).unwrap();
        assert!(smaller.len() + 50 < component.len());
        assert_eq!(names["a:long/name#[method]of.an-export"], "a");
    }

    #[test]
    fn what_is_no_component_is_refused() {
        assert!(matches!(shrink(b"\0asm\x0d\0\x01\0\x07", None, PLAIN), Err(Error::Wasm(_))));
    }
}
