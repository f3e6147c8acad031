//! What the adapters import and export, to the letter: hosts compare it with what is published.

use host_tests::components::load;
use wit_component::DecodedWasm;
use wit_parser::{Function, FunctionKind, InterfaceId, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem};

/// A component, as a host sees it.
pub(crate) struct Contract {
    resolve: Resolve,
    world: WorldId,
}

impl Contract {
    pub(crate) fn of(name: &str) -> Self {
        match wit_component::decode(&load(name).unwrap()).unwrap() {
            DecodedWasm::Component(resolve, world) => Self { resolve, world },
            DecodedWasm::WitPackage(..) => panic!("{name} is no component"),
        }
    }

    pub(crate) fn imports(&self) -> Vec<String> {
        self.names(self.resolve.worlds[self.world].imports.values())
    }

    pub(crate) fn exports(&self) -> Vec<String> {
        self.names(self.resolve.worlds[self.world].exports.values())
    }

    /// The signatures of an interface, types first, in the order they are in.
    pub(crate) fn signatures(&self, interface: &str) -> Vec<String> {
        let interface = &self.resolve.interfaces[self.find(interface)];
        let types = interface.types.values().map(|&id| self.definition(id));
        types.chain(interface.functions.values().map(|function| self.function(function))).collect()
    }

    fn find(&self, name: &str) -> InterfaceId {
        let found = self.resolve.interfaces.iter().map(|(id, _)| id);
        let mut found = found.filter(|&id| self.resolve.id_of(id).as_deref() == Some(name));
        found.next().unwrap_or_else(|| panic!("there is no interface {name}"))
    }

    fn names<'a>(&self, items: impl Iterator<Item = &'a WorldItem>) -> Vec<String> {
        let name = |item: &WorldItem| match item {
            WorldItem::Interface { id, .. } => self.resolve.id_of(*id).expect("it has a name"),
            other => panic!("{other:?} is no interface"),
        };
        let mut names: Vec<_> = items.map(name).collect();
        names.sort();
        names
    }

    fn function(&self, function: &Function) -> String {
        let parameters: Vec<_> = function
            .params
            .iter()
            .map(|parameter| format!("{}: {}", parameter.name, self.named(&parameter.ty)))
            .collect();
        let result = function.result.map(|result| format!(" -> {}", self.named(&result))).unwrap_or_default();
        let is_async = matches!(
            function.kind,
            FunctionKind::AsyncFreestanding | FunctionKind::AsyncMethod(_) | FunctionKind::AsyncStatic(_)
        );
        let kind = if is_async { "async func" } else { "func" };
        format!("{}: {kind}({}){result}", function.name, parameters.join(", "))
    }

    fn definition(&self, id: TypeId) -> String {
        let definition = &self.resolve.types[id];
        let name = definition.name.as_deref().expect("it has a name");
        match &definition.kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| format!("{}: {}", field.name, self.named(&field.ty)));
                format!("record {name} {{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Variant(variant) => {
                let case = |(name, ty): (&String, &Option<Type>)| match ty {
                    Some(ty) => format!("{name}({})", self.named(ty)),
                    None => name.clone(),
                };
                let cases = variant.cases.iter().map(|one| case((&one.name, &one.ty)));
                format!("variant {name} {{ {} }}", cases.collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Enum(cases) => {
                let cases = cases.cases.iter().map(|case| case.name.as_str());
                format!("enum {name} {{ {} }}", cases.collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Resource => format!("resource {name}"),
            _ => format!("type {name} = {}", self.kind(id)),
        }
    }

    /// A type where it is used.
    fn named(&self, ty: &Type) -> String {
        match ty {
            Type::Id(id) => self.resolve.types[*id].name.clone().unwrap_or_else(|| self.kind(*id)),
            Type::String => "string".into(),
            Type::U8 => "u8".into(),
            Type::U32 => "u32".into(),
            Type::U64 => "u64".into(),
            other => panic!("{other:?} is in no adapter"),
        }
    }

    fn kind(&self, id: TypeId) -> String {
        let or_nothing = |ty: &Option<Type>| ty.map_or("_".into(), |ty| self.named(&ty));
        match &self.resolve.types[id].kind {
            TypeDefKind::List(ty) => format!("list<{}>", self.named(ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.named(ty)),
            TypeDefKind::Result(result) => format!("result<{}, {}>", or_nothing(&result.ok), or_nothing(&result.err)),
            TypeDefKind::Handle(wit_parser::Handle::Borrow(id)) => {
                format!("borrow<{}>", self.named(&Type::Id(*id)))
            }
            TypeDefKind::Handle(wit_parser::Handle::Own(id)) => self.named(&Type::Id(*id)),
            TypeDefKind::Type(ty) => self.named(ty),
            other => panic!("{other:?} is in no adapter"),
        }
    }
}
