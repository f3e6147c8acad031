//! The interface as others get it: a file with the encoded package, its documentation, and worlds that tools accept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use host_tests::components::load;
use wac_graph::types::{ItemKind, Package, Type, Types, WorldId, validate_target};
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{PackageId, Resolve, Stability, TypeDefKind, TypeId};

const PACKAGE: &str = "mqtt-wasi-client.wit.wasm";

/// Words that a name of the interface must not be, as the tools of each language write it.
const RESERVED: &[(&str, &str)] = &[
    (
        "Rust",
        "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen \
         if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true \
         try type typeof unsafe unsized use virtual where while yield",
    ),
    (
        "JavaScript",
        "arguments async await break case catch class const continue debugger default delete do else enum eval export \
         extends false finally for function if implements import in instanceof interface let new null package private \
         protected public return static super switch this throw true try typeof undefined var void while with yield",
    ),
    (
        "JavaScript, what names of types would hide",
        "Array BigInt Boolean Date Error Function Map Number Object Promise Proxy RangeError Set String Symbol \
         TypeError Uint8Array",
    ),
    (
        "Python",
        "False None True and as assert async await break class continue def del elif else except finally for from \
         global if import in is lambda nonlocal not or pass raise return try while with yield",
    ),
    (
        "Go",
        "break case chan const continue default defer else fallthrough for func go goto if import interface map \
         package range return select struct switch type var",
    ),
    (
        "C and C++",
        "alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const constexpr \
         continue decltype default delete do double else enum explicit export extern false float for friend goto if \
         inline int long mutable namespace new noexcept not nullptr operator or private protected public register \
         requires restrict return short signed sizeof static struct switch template this throw true try typedef typeid \
         typename union unsigned using virtual void volatile while xor",
    ),
];

fn package() -> (Resolve, PackageId) {
    match decode(&load(PACKAGE).unwrap()).unwrap() {
        DecodedWasm::WitPackage(resolve, package) => (resolve, package),
        DecodedWasm::Component(..) => panic!("a component"),
    }
}

#[test]
fn package_has_every_interface_and_world() {
    let (resolve, package) = package();
    let package = &resolve.packages[package];
    assert_eq!(package.name.to_string(), "mqtt-wasi:client@0.1.0");
    let interfaces: BTreeSet<_> = package.interfaces.keys().map(String::as_str).collect();
    assert_eq!(interfaces, ["bulk", "mqtt", "readiness", "trace"].into());
    let worlds: BTreeSet<_> = package.worlds.keys().map(String::as_str).collect();
    let forms = ["client", "client-host-tls", "client-tls"];
    let for_guests = ["imports", "imports-bulk", "imports-readiness", "imports-trace"];
    assert_eq!(worlds, forms.into_iter().chain(for_guests).collect());
}

#[test]
fn every_item_of_the_package_is_documented_and_says_since_when_it_is_there() {
    let (resolve, package) = package();
    let mut lacking = Vec::new();
    let mut check = |name: String, docs: &wit_parser::Docs, stability: Option<&Stability>| {
        if docs.contents.as_deref().is_none_or(|docs| docs.trim().is_empty()) {
            lacking.push(format!("{name}: documentation"));
        }
        if stability.is_some_and(|stability| !matches!(stability, Stability::Stable { .. })) {
            lacking.push(format!("{name}: @since"));
        }
    };
    for (name, id) in &resolve.packages[package].worlds {
        check(name.clone(), &resolve.worlds[*id].docs, Some(&resolve.worlds[*id].stability));
    }
    for (interface, id) in &resolve.packages[package].interfaces {
        let items = &resolve.interfaces[*id];
        check(interface.clone(), &items.docs, Some(&items.stability));
        for (name, function) in &items.functions {
            check(format!("{interface}.{name}"), &function.docs, Some(&function.stability));
        }
        for (name, id) in &items.types {
            let item = &resolve.types[*id];
            if matches!(item.kind, TypeDefKind::Type(wit_parser::Type::Id(used)) if resolve.types[used].owner != item.owner)
            {
                // It is documented where it is from.
                continue;
            }
            check(format!("{interface}.{name}"), &item.docs, Some(&item.stability));
            let parts: Vec<_> = match &item.kind {
                TypeDefKind::Record(record) => record.fields.iter().map(|part| (&part.name, &part.docs)).collect(),
                TypeDefKind::Variant(variant) => variant.cases.iter().map(|part| (&part.name, &part.docs)).collect(),
                TypeDefKind::Enum(cases) => cases.cases.iter().map(|part| (&part.name, &part.docs)).collect(),
                TypeDefKind::Flags(flags) => flags.flags.iter().map(|part| (&part.name, &part.docs)).collect(),
                _ => Vec::new(),
            };
            for (part, docs) in parts {
                check(format!("{interface}.{name}.{part}"), docs, None);
            }
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[test]
fn no_name_is_a_reserved_word_of_a_language() {
    let (resolve, package) = package();
    let mut names = BTreeSet::new();
    for id in resolve.packages[package].interfaces.values() {
        let items = &resolve.interfaces[*id];
        for (name, function) in &items.functions {
            names.extend(name.rsplit('.').next().map(str::to_owned));
            let params = function.params.iter().map(|param| param.name.clone());
            names.extend(params.filter(|name| name != "self"));
        }
        for (name, id) in &items.types {
            names.insert(name.clone());
            match &resolve.types[*id].kind {
                TypeDefKind::Record(record) => names.extend(record.fields.iter().map(|part| part.name.clone())),
                TypeDefKind::Variant(variant) => names.extend(variant.cases.iter().map(|part| part.name.clone())),
                TypeDefKind::Enum(cases) => names.extend(cases.cases.iter().map(|part| part.name.clone())),
                TypeDefKind::Flags(flags) => names.extend(flags.flags.iter().map(|part| part.name.clone())),
                _ => {}
            }
        }
    }
    assert!(names.contains("wait-for-reply") && names.contains("timeout-ms"), "{names:?}");
    let mut reserved = Vec::new();
    for (language, words) in RESERVED {
        let words: BTreeSet<_> = words.split(' ').filter(|word| !word.is_empty()).collect();
        for name in &names {
            let snake = name.replace('-', "_");
            let pascal: String = name.split('-').map(capitalized).collect();
            let camel: String =
                pascal.chars().take(1).flat_map(char::to_lowercase).chain(pascal.chars().skip(1)).collect();
            if [&snake, &pascal, &camel].into_iter().any(|word| words.contains(word.as_str())) {
                reserved.push(format!("{name} in {language}"));
            }
        }
    }
    assert!(reserved.is_empty(), "{reserved:?}");
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// As `wasm-tools component targets` does it.
#[test]
fn components_are_of_their_worlds_by_wasm_tools() {
    let (resolve, package) = package();
    let is_of = |component: &str, world: &str| {
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        wit_component::targets(&resolve, world, &load(component).unwrap(), false)
    };
    is_of("mqtt.wasm", "client").unwrap();
    is_of("mqtt-tls.wasm", "client-tls").unwrap();
    is_of("mqtt-tls-wide.wasm", "client-tls").unwrap();
    is_of("mqtt.wasm", "client-tls").unwrap();
    is_of("mqtt-tls.wasm", "client").expect_err("the date is no import of that world");
    is_of("mqtt.wasm", "imports").expect_err("sockets are no imports of that world");
}

/// As `wac targets` does it.
#[test]
fn components_are_of_their_worlds_by_wac() {
    let is_of = |component: &str, world: &str| {
        let mut types = Types::default();
        let package = Package::from_bytes("wit", None, load(PACKAGE).unwrap(), &mut types).unwrap();
        let component = Package::from_bytes("component", None, load(component).unwrap(), &mut types).unwrap();
        let world = world_of(&types, package.ty(), world);
        validate_target(&types, world, component.ty()).map_err(|report| report.to_string())
    };
    is_of("mqtt.wasm", "client").unwrap();
    is_of("mqtt-tls.wasm", "client-tls").unwrap();
    is_of("mqtt-tls.wasm", "client").expect_err("the date is no import of that world");
}

fn world_of(types: &Types, package: WorldId, name: &str) -> WorldId {
    let ItemKind::Type(Type::World(world)) = types[package].exports[name] else { panic!("{name} is no world") };
    match types[world].exports.values().next() {
        Some(ItemKind::Component(world)) => *world,
        other => panic!("{name} is encoded as {other:?}"),
    }
}

#[test]
fn components_say_what_they_are() {
    for (name, words) in [("mqtt.wasm", "mqtt.wasm"), ("mqtt-tls.wasm", "with TLS")] {
        let DecodedWasm::Component(resolve, world) = decode(&load(name).unwrap()).unwrap() else { panic!("{name}") };
        let docs = resolve.worlds[world].docs.contents.as_deref().unwrap_or_default();
        assert!(docs.contains(words) && docs.contains("mqtt-wasi:client"), "{name}: {docs}");
    }
}

#[test]
fn types_are_the_same_for_wasi_0_2_and_0_3() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("wit");
    let types = |folder: &Path| {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(folder).unwrap_or_else(|error| panic!("{error:#}"));
        let interface = &resolve.interfaces[resolve.packages[package].interfaces["mqtt"]];
        let types: BTreeMap<_, _> =
            interface.types.iter().map(|(name, id)| (name.clone(), described(&resolve, *id))).collect();
        let setters: BTreeSet<_> =
            interface.functions.keys().filter(|name| name.contains("connect-options")).cloned().collect();
        (types, setters)
    };
    let (p2, mut p3) = (types(&folder), types(&folder.join("p3")));
    // Streams are a type of WASI 0.3.
    assert!(p3.1.remove("[method]connect-options.set-stream-above"), "{:?}", p3.1);
    assert!(p2.0.len() > 20 && p2.1.len() > 40, "{p2:?}");
    assert_eq!(p2, p3);
}

/// What a type with a name is made of.
fn described(resolve: &Resolve, id: TypeId) -> Vec<String> {
    let part = |name: &str, ty: Option<&wit_parser::Type>| match ty {
        Some(ty) => format!("{name}: {}", mentioned(resolve, ty)),
        None => name.to_owned(),
    };
    match &resolve.types[id].kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| part(&field.name, Some(&field.ty))).collect(),
        TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| part(&case.name, case.ty.as_ref())).collect(),
        TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.clone()).collect(),
        TypeDefKind::Flags(flags) => flags.flags.iter().map(|flag| flag.name.clone()).collect(),
        TypeDefKind::Resource => vec!["resource".to_owned()],
        TypeDefKind::Type(ty) => vec![mentioned(resolve, ty)],
        TypeDefKind::Tuple(tuple) => tuple.types.iter().map(|ty| mentioned(resolve, ty)).collect(),
        other => panic!("the interface has none of these yet: {other:?}"),
    }
}

/// A type where it is used: by its name, if it has one.
fn mentioned(resolve: &Resolve, ty: &wit_parser::Type) -> String {
    let wit_parser::Type::Id(id) = ty else { return format!("{ty:?}") };
    match (&resolve.types[*id].name, &resolve.types[*id].kind) {
        (Some(name), _) => name.clone(),
        (None, TypeDefKind::Option(ty)) => format!("option<{}>", mentioned(resolve, ty)),
        (None, TypeDefKind::List(ty)) => format!("list<{}>", mentioned(resolve, ty)),
        (None, TypeDefKind::Tuple(_)) => format!("tuple<{}>", described(resolve, *id).join(", ")),
        (None, other) => panic!("the interface has none of these yet: {other:?}"),
    }
}
