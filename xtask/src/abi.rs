//! How to call a component from a host that knows core WebAssembly only: the names inside it, and the types of its
//! functions, as JSON beside the component.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use wit_parser::{Handle, Resolve, Type, TypeDefKind, TypeId};

use crate::error::Result;
use crate::package;

/// Describes the component: `names` are those of its core modules, the long ones with what they became. For example
/// `{"names": {"memory": "sa"}, "types": {"qos": {"enum": ["at-most-once"]}}, "functions": {"mqtt-wasi:client/mqtt@0.1.0#wait":
/// {"params": [{"list": {"borrow": "client"}}, "u32"], "result": {"list": "u32"}}}}`.
pub(crate) fn describe(names: &HashMap<String, String>) -> Result<String> {
    let (resolve, package) = package::P2.parse()?;
    let mut types = Types { resolve: &resolve, named: Map::new() };
    let mut functions = Map::new();
    for (name, &id) in &resolve.packages[package].interfaces {
        let interface = resolve.id_of(id).unwrap_or_else(|| name.clone());
        for (function, described) in &resolve.interfaces[id].functions {
            let params: Vec<_> = described.params.iter().map(|param| types.describe(&param.ty)).collect();
            let result = described.result.as_ref().map(|result| types.describe(result));
            functions.insert(format!("{interface}#{function}"), json!({ "params": params, "result": result }));
        }
    }
    let names: Map<_, _> = names.iter().map(|(long, short)| (long.clone(), Value::from(short.as_str()))).collect();
    Ok(json!({ "names": names, "types": types.named, "functions": functions }).to_string())
}

/// The types that have been seen, by name.
struct Types<'a> {
    resolve: &'a Resolve,
    named: Map<String, Value>,
}

impl Types<'_> {
    fn describe(&mut self, ty: &Type) -> Value {
        match ty {
            Type::Bool => "bool".into(),
            Type::U8 => "u8".into(),
            Type::U16 => "u16".into(),
            Type::U32 => "u32".into(),
            Type::U64 => "u64".into(),
            Type::S8 => "s8".into(),
            Type::S16 => "s16".into(),
            Type::S32 => "s32".into(),
            Type::S64 => "s64".into(),
            Type::F32 => "f32".into(),
            Type::F64 => "f64".into(),
            Type::Char => "char".into(),
            Type::String => "string".into(),
            Type::ErrorContext => "error-context".into(),
            &Type::Id(id) => self.describe_definition(id),
        }
    }

    /// A type with a name is described once, and only named elsewhere.
    fn describe_definition(&mut self, id: TypeId) -> Value {
        let definition = &self.resolve.types[id];
        if let (Some(name), false) = (&definition.name, matches!(definition.kind, TypeDefKind::Type(_))) {
            if !self.named.contains_key(name) {
                self.named.insert(name.clone(), Value::Null);
                let described = self.describe_kind(&definition.kind);
                self.named.insert(name.clone(), described);
            }
            return json!({ "type": name });
        }
        self.describe_kind(&definition.kind)
    }

    fn describe_kind(&mut self, kind: &TypeDefKind) -> Value {
        match kind {
            TypeDefKind::Type(ty) => self.describe(ty),
            TypeDefKind::List(item) => json!({ "list": self.describe(item) }),
            TypeDefKind::Option(some) => json!({ "option": self.describe(some) }),
            TypeDefKind::Result(result) => json!({
                "result": [self.describe_optional(result.ok.as_ref()), self.describe_optional(result.err.as_ref())]
            }),
            TypeDefKind::Tuple(tuple) => {
                json!({ "tuple": tuple.types.iter().map(|ty| self.describe(ty)).collect::<Vec<_>>() })
            }
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| json!([field.name, self.describe(&field.ty)]));
                json!({ "record": fields.collect::<Vec<_>>() })
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter();
                let cases = cases.map(|case| json!([case.name, self.describe_optional(case.ty.as_ref())]));
                json!({ "variant": cases.collect::<Vec<_>>() })
            }
            TypeDefKind::Enum(cases) => {
                json!({ "enum": cases.cases.iter().map(|case| &case.name).collect::<Vec<_>>() })
            }
            TypeDefKind::Flags(flags) => {
                json!({ "flags": flags.flags.iter().map(|flag| &flag.name).collect::<Vec<_>>() })
            }
            TypeDefKind::Handle(Handle::Own(id)) => json!({ "own": self.resource(*id) }),
            TypeDefKind::Handle(Handle::Borrow(id)) => json!({ "borrow": self.resource(*id) }),
            // Not in this interface. A host that meets it fails at once, and not in a call.
            other => json!({ "unknown": other.as_str() }),
        }
    }

    fn describe_optional(&mut self, ty: Option<&Type>) -> Value {
        ty.map_or(Value::Null, |ty| self.describe(ty))
    }

    /// The name of a resource, which another interface may have given another one.
    fn resource(&self, mut id: TypeId) -> &str {
        while let TypeDefKind::Type(Type::Id(other)) = self.resolve.types[id].kind {
            id = other;
        }
        self.resolve.types[id].name.as_deref().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_types_and_names_their_short_ones() {
        let names = HashMap::from([("memory".to_owned(), "a".to_owned())]);
        let described: Value = serde_json::from_str(&describe(&names).unwrap()).unwrap();
        assert_eq!(described["names"]["memory"], "a");
        let wait = &described["functions"]["mqtt-wasi:client/mqtt@0.1.0#wait"];
        assert_eq!(
            *wait,
            json!({ "params": [{ "list": { "borrow": "client" } }, "u32"], "result": { "list": "u32" } })
        );
        assert_eq!(described["types"]["payload"]["variant"][1], json!(["bytes", { "list": "u8" }]));
        assert!(!described.to_string().contains("unknown\""), "a type that hosts do not know");
    }
}
