//! Links and names of files: each has something at its end.

use pulldown_cmark::{Event, Options, Parser, Tag};

use super::Problem;
use super::blocks::blocks;
use super::slug::anchors;
use super::tree::{Source, Tree};

/// The folders of the repository that prose names files of.
const FOLDERS: [&str; 10] =
    ["bench", "docs", "examples", "findings", "fuzz", "host-tests", "src", "tests", "wit", "xtask"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems: Vec<_> = tree.markdown().flat_map(|page| check_page(tree, page)).collect();
    for source in tree.sources().filter(|source| source.is("rs") || source.is("wit")) {
        for line in blocks(source).iter().flat_map(|block| block.outside_code()) {
            let code = line.text.split('`').skip(1).step_by(2);
            problems.extend(code.filter_map(|code| check_file_name(tree, source, line.number, code)));
        }
    }
    problems
}

fn check_page(tree: &Tree, page: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (event, range) in Parser::new_ext(&page.text, Options::ENABLE_TABLES).into_offset_iter() {
        let line = page.text[..range.start].matches('\n').count() + 1;
        problems.extend(match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                check_link(tree, page, line, &dest_url)
            }
            Event::Code(code) => check_file_name(tree, page, line, &code),
            _ => None,
        });
    }
    problems
}

fn check_link(tree: &Tree, page: &Source, line: usize, link: &str) -> Option<Problem> {
    let is_elsewhere = ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme));
    if is_elsewhere {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let problem = |what: &str| Some(Problem::new("links", &page.path, line, format!("`{link}`: {what}")));
    let target = if path.is_empty() { Some(page.path.clone()) } else { resolve(page.folder(), path) };
    let Some(target) = target.filter(|target| tree.has(target)) else { return problem("there is no such file") };
    let target = tree.source(&target).filter(|target| target.is("md"));
    match (anchor, target) {
        (Some(anchor), Some(target)) if !anchors(&target.text).iter().any(|known| known == anchor) => {
            problem("the page has no such heading")
        }
        _ => None,
    }
}

/// Checks code that looks like the path of a file, from the root or from the folder of the page.
fn check_file_name(tree: &Tree, source: &Source, line: usize, code: &str) -> Option<Problem> {
    let path = code.split("::").next()?.trim_end_matches('/');
    let (folder, rest) = path.split_once('/')?;
    let is_path = path.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    // What is built stands in a folder of its own.
    if !FOLDERS.contains(&folder) || rest.is_empty() || !is_path || path.ends_with(".wasm") {
        return None;
    }
    let from_here = resolve(source.folder(), path)?;
    let is_there = tree.has(path) || tree.has(&from_here);
    (!is_there).then(|| Problem::new("links", &source.path, line, format!("`{path}`: there is no such file")))
}

/// A path from the root, of one that starts in a folder. None if it leads out of the repository.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let others = [
            ("README.md", "# The way\n\n## The way\n"),
            ("docs/tls.md", "# TLS\n"),
            ("src/lib.rs", ""),
            ("fuzz/corpus/codec/one", ""),
        ];
        let [a, b, c, d] = others;
        check(&Tree::of([a, b, c, d, (path, text)])).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn good_links_are_found() {
        let page = "[a](tls.md#tls) [b](../README.md#the-way-1) [c](#here) [d](../src) [e](https://x.org/y#z)\n\
                    [f](../src/lib.rs#L3) ![g][h] `src/lib.rs::main` `../docs/tls.md` `src/<name>.rs` `docs/x.wasm`\n\n\
                    # Here\n\n[h]: tls.md\n\n```md\n[i](nowhere.md)\n```\n";
        assert_eq!(found("docs/a.md", page), [""; 0]);
        assert_eq!(found("fuzz/README.md", "`corpus/codec/one` `fuzz/corpus/codec`"), [""; 0]);
        assert_eq!(found("tests/a.rs", "/// As `docs/tls.md` has it.\n// `docs/x.md`\n"), [""; 0]);
    }

    #[test]
    fn bad_links_are_not() {
        for (page, what) in [
            ("[a](tls.md#ssl)", "`tls.md#ssl`: the page has no such heading"),
            ("[a](TLS.md)", "`TLS.md`: there is no such file"),
            ("| a |\n| - |\n| [a](../../README.md) |", "`../../README.md`: there is no such file"),
            ("[a](#there)", "`#there`: the page has no such heading"),
            ("![a](a.svg)", "`a.svg`: there is no such file"),
            ("`src/main.rs`", "`src/main.rs`: there is no such file"),
        ] {
            assert_eq!(found("docs/a.md", page), [what], "{page}");
        }
        assert_eq!(found("src/a.rs", "//! See `docs/a.md`.\n"), ["`docs/a.md`: there is no such file"]);
    }
}
