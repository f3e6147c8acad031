//! What things are called in WIT, by its parser, and in Rust, by the lines that rustfmt makes.

use wit_parser::{Docs, PackageId, Resolve, TypeDefKind};

/// The names in an item such as `mqtt.message`; in an interface such as `mqtt`, its functions.
pub(super) fn wit_names(resolve: &Resolve, package: PackageId, item: &str) -> Vec<String> {
    parts(resolve, package, item).into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// The docs of all that is in an item, one behind the other; or of a part of one, such as `mqtt.client.publish`.
pub(super) fn wit_docs(resolve: &Resolve, package: PackageId, item: &str) -> String {
    let (whole, part) = match item.match_indices('.').nth(1) {
        Some((dot, _)) => (&item[..dot], Some(&item[dot + 1..])),
        None => (item, None),
    };
    let parts = parts(resolve, package, whole);
    let parts = parts.iter().filter(|(name, _)| part.is_none_or(|part| part == *name));
    parts.filter_map(|(_, docs)| docs.contents.as_deref()).collect::<Vec<_>>().join("\n\n")
}

fn parts<'a>(resolve: &'a Resolve, package: PackageId, item: &str) -> Vec<(&'a str, &'a Docs)> {
    let (interface, item) = item.split_once('.').unwrap_or((item, ""));
    let Some(&interface) = resolve.packages[package].interfaces.get(interface) else { return Vec::new() };
    let interface = &resolve.interfaces[interface];
    match interface.types.get(item).map(|id| &resolve.types[*id].kind) {
        Some(TypeDefKind::Record(record)) => record.fields.iter().map(|part| (&*part.name, &part.docs)).collect(),
        Some(TypeDefKind::Variant(variant)) => variant.cases.iter().map(|part| (&*part.name, &part.docs)).collect(),
        Some(TypeDefKind::Enum(cases)) => cases.cases.iter().map(|part| (&*part.name, &part.docs)).collect(),
        Some(TypeDefKind::Flags(flags)) => flags.flags.iter().map(|part| (&*part.name, &part.docs)).collect(),
        _ => {
            // `[method]client.publish`, or the bare name of a function of the interface.
            let method = format!("[method]{item}.");
            let functions = interface.functions.iter().filter_map(|(name, function)| {
                let bare = if item.is_empty() { Some(&**name) } else { name.strip_prefix(&method) };
                bare.filter(|name| !name.starts_with('[')).map(|name| (name, &function.docs))
            });
            functions.collect()
        }
    }
}

/// The names that docs list: what is code, outside brackets, in paragraphs that begin with a name or with `Names:`.
pub(super) fn named(docs: &str) -> Vec<String> {
    let lists = docs.split("\n\n").filter(|paragraph| paragraph.starts_with('`') || paragraph.starts_with("Names:"));
    let mut names = Vec::new();
    for list in lists {
        let mut depth = 0_u32;
        for (place, text) in list.split('`').enumerate() {
            if place % 2 == 0 {
                depth += text.matches('(').count() as u32;
                depth = depth.saturating_sub(text.matches(')').count() as u32);
            } else if depth == 0 {
                names.push(text.to_owned());
            }
        }
    }
    names
}

/// The fields of a struct or the variants of an enum, in WIT's spelling. What a macro makes of the same form, too.
pub(super) fn members(source: &str, name: &str) -> Vec<String> {
    let is_start = |line: &str| {
        let line = line.trim_start();
        let line = ["pub struct ", "pub enum "].iter().find_map(|start| line.strip_prefix(start)).unwrap_or(line);
        line.strip_prefix(name).is_some_and(|rest| matches!(rest, " {" | "<'a> {"))
    };
    let mut lines = source.lines().skip_while(|line| !is_start(line));
    let Some(start) = lines.next() else { return Vec::new() };
    let indentation = start.len() - start.trim_start().len();
    let is_end = |line: &str| line.trim_start().starts_with('}') && line.len() - line.trim_start().len() <= indentation;
    lines
        .take_while(|line| !is_end(line))
        .filter(|line| line.len() - line.trim_start().len() == indentation + 4)
        .filter_map(|line| identifier(line.trim_start().trim_start_matches("pub ")))
        .map(kebab)
        .collect()
}

/// The public functions of a type, in WIT's spelling.
pub(super) fn functions(source: &str, name: &str) -> Vec<String> {
    let mut is_in = false;
    let mut functions = Vec::new();
    for line in source.lines() {
        if line.starts_with("impl") {
            // Neither what it is generic over, nor a trait: those have no `pub`.
            is_in = line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
        } else if line == "}" {
            is_in = false;
        }
        let public = line.strip_prefix("    pub ").filter(|_| is_in);
        let function = public.map(|line| line.trim_start_matches("const ").trim_start_matches("async "));
        functions.extend(function.and_then(|line| identifier(line.strip_prefix("fn ")?)).map(kebab));
    }
    functions
}

/// The string literals that stand behind something.
pub(super) fn constants(source: &str, behind: &str) -> Vec<String> {
    // Docs have strings in their examples.
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let joined = code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").replace("( ", "(");
    let start = format!("{behind}\"");
    joined.split(start.as_str()).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

fn identifier(text: &str) -> Option<&str> {
    let len = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (len > 0).then(|| &text[..len])
}

/// `CamelCase` and `snake_case` as WIT has it.
pub(super) fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c == '_' {
            kebab.push('-');
        } else {
            if c.is_uppercase() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.extend(c.to_lowercase());
        }
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_docs_are_what_is_listed() {
        let docs = "What `it` is.\n\nNames: `a`, `b` (see `x`\nand `y`), `c`.\n\n`d`; `e` (now).";
        assert_eq!(named(docs), ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn members_are_those_of_the_item_alone() {
        let source = "pub enum Event {\n    /// Docs.\n    #[default]\n    One,\n    TwoThree {\n        /// Docs.\n        \
                      four: u8,\n    },\n}\npub struct EventKind {\n    pub five: u8,\n}\n";
        assert_eq!(members(source, "Event"), ["one", "two-three"]);
        assert_eq!(members("m! {\n    Six {\n        seven_a: u8 = Seven,\n    }\n}\n", "Six"), ["seven-a"]);
        assert_eq!(members(source, "Kind"), [""; 0]);
    }

    #[test]
    fn functions_are_the_public_ones_of_the_type() {
        let source = "impl<T> Client<T> {\n    pub const fn is_ready(&self) {}\n    fn hidden() {}\n    pub async fn wait() {}\n\
                      }\nimpl Other {\n    pub fn other() {}\n}\n";
        assert_eq!(functions(source, "Client"), ["is-ready", "wait"]);
    }

    #[test]
    fn constants_are_found_over_line_ends() {
        assert_eq!(constants("f(\"a\"), g(\n    \"b\", f(\n        \"c\"\n/// f(\"d\")", "f("), ["a", "c"]);
    }
}
