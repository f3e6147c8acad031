//! Code in pages: that it is compiled, and that it can be copied as it is shown. And how long the README is.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::Problem;
use super::tree::{Source, Tree};

/// How many words the README may have, its code included.
const README_WORDS: usize = 1_300;

/// The list of pages that are doctests.
const LIST: &str = "src/pages.rs";

/// A fenced block of code.
struct Code {
    /// The number of the line that opens it.
    line: usize,
    /// What stands behind the fence: the language, and more.
    info: String,
    text: String,
}

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let list = tree.source(LIST).map_or("", |list| &list.text);
    for page in tree.markdown().filter(|page| page.path == "README.md" || page.folder() == "docs") {
        let code: Vec<_> = fenced(&page.text).into_iter().filter(|code| code.is_rust()).collect();
        if let Some(first) = code.first().filter(|_| !list.contains(&format!("\"{}\"", page.path))) {
            let what = format!("has code in Rust and is not in {LIST}, so nobody compiles it");
            problems.push(Problem::new("pages", &page.path, first.line, what));
        }
        problems.extend(code.iter().flat_map(|code| check_code(tree, page, code)));
    }
    let words = tree.source("README.md").map_or(0, |readme| readme.text.split_whitespace().count());
    if words > README_WORDS {
        let what = format!("{words} words, {README_WORDS} at most: move something to docs/");
        problems.push(Problem::new("pages", "README.md", 1, what));
    }
    problems
}

fn check_code(tree: &Tree, page: &Source, code: &Code) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (line, number) in code.text.lines().zip(code.line + 1..) {
        if line.trim() == "#" || line.trim_start().starts_with("# ") {
            let what = "GitHub shows lines that rustdoc hides: show what a program needs, or leave it out";
            problems.push(Problem::new("pages", &page.path, number, what));
        }
    }
    // The code of others, which pages on porting show, is none of ours to compile.
    if code.has("ignore")
        && !code.has("foreign")
        && !tree.sources().any(|source| source.is("rs") && is_excerpt(&code.text, &source.text))
    {
        let what = "code that rustdoc ignores, and that is no excerpt of a Rust file of this repository either";
        problems.push(Problem::new("pages", &page.path, code.line, what));
    }
    problems
}

/// Whether the lines of `code` stand in `source` one behind the other, however they are indented.
fn is_excerpt(code: &str, source: &str) -> bool {
    fn lines(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }
    let code = lines(code);
    lines(source).windows(code.len().max(1)).any(|window| window == code)
}

impl Code {
    fn is_rust(&self) -> bool {
        self.has("rust")
    }

    fn has(&self, word: &str) -> bool {
        self.info.split([',', ' ']).any(|found| found == word)
    }
}

/// The fenced blocks of a page.
fn fenced(page: &str) -> Vec<Code> {
    let mut blocks = Vec::new();
    let mut open: Option<Code> = None;
    for (event, range) in Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter() {
        match (event, &mut open) {
            (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))), _) => {
                let line = page[..range.start].matches('\n').count() + 1;
                open = Some(Code { line, info: info.into_string(), text: String::new() });
            }
            (Event::Text(text), Some(code)) => code.text.push_str(&text),
            (Event::End(TagEnd::CodeBlock), _) => blocks.extend(open.take()),
            _ => {}
        }
    }
    blocks
}

/// The lines of the `sh` blocks of a page, with their numbers.
pub(super) fn shell_lines(page: &str) -> Vec<(usize, String)> {
    let lines = |code: Code| -> Vec<(usize, String)> {
        code.text.lines().zip(code.line + 1..).map(|(line, number)| (number, line.trim().to_owned())).collect()
    };
    fenced(page).into_iter().filter(|code| code.has("sh")).flat_map(lines).collect()
}

/// The pieces of code within the text of a page, with the numbers of their lines.
pub(super) fn code_spans(page: &str) -> Vec<(usize, String)> {
    let events = Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter();
    let spans = events.filter_map(|(event, range)| match event {
        Event::Code(code) => Some((page[..range.start].matches('\n').count() + 1, code.into_string())),
        _ => None,
    });
    spans.collect()
}

/// The commands in the `sh` blocks of a page: each line, with the lines that continue it and its here-document.
pub(crate) fn commands(page: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for code in fenced(page).into_iter().filter(|code| code.has("sh")) {
        let mut lines = code.text.lines();
        while let Some(line) = lines.next() {
            let mut command = line.trim().to_owned();
            if command.is_empty() || command.starts_with('#') {
                continue;
            }
            while command.ends_with('\\') {
                command.pop();
                command.truncate(command.trim_end().len());
                command += &format!(" {}", lines.next().unwrap_or_default().trim());
            }
            if let Some((_, end)) = command.clone().split_once("<<") {
                let end = end.trim_matches(['\'', '"', ' ']);
                for line in lines.by_ref() {
                    command += &format!("\n{line}");
                    if line == end {
                        break;
                    }
                }
            }
            commands.push(command);
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<(usize, String)> {
        let list = (LIST, "pages! { Tls: \"docs/tls.md\", }");
        let guest = ("examples/guest.rs", "fn main() {\n    let a = 1;\n\n    let b = 2;\n}\n");
        let problems = check(&Tree::of([list, guest, ("docs/tls.md", page)]));
        problems.into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn code_that_is_compiled_and_shown_in_full_is_good() {
        let page = "# A\n\n```rust,no_run\n#[tokio::main]\nfn main() {}\n```\n\n```sh\n# a comment\n```\n";
        assert_eq!(found(page), []);
        assert_eq!(found("```rust,ignore\nlet a = 1;\nlet b = 2;\n```\n"), []);
        assert_eq!(found("```rust,ignore,foreign\nother::f();\n```\n"), []);
    }

    #[test]
    fn hidden_lines_and_ignored_code_are_not() {
        assert!(matches!(&found("```rust\n# fn main() {\n#\nf();\n```\n")[..], [(2, _), (3, _)]));
        assert!(
            matches!(&found("\n```rust,ignore\nlet b = 2;\nlet a = 1;\n```\n")[..], [(2, what)] if what.contains("excerpt"))
        );
    }

    #[test]
    fn page_with_rust_is_a_doctest() {
        let problems = check(&Tree::of([(LIST, "\"docs/tls.md\""), ("docs/a.md", "# A\n\n```rust\nf();\n```\n")]));
        assert!(matches!(&problems[..], [problem] if problem.line == 3 && problem.what.contains(LIST)), "{problems:?}");
        assert_eq!(check(&Tree::of([("docs/a.md", "```sh\nls\n```\n"), ("bench/b.md", "```rust\nf();\n```\n")])), []);
    }

    #[test]
    fn commands_are_lines_with_all_that_belongs_to_them() {
        let page = "```sh\n# how\na \\\n  b\n\nc    # why\ncat > d <<'E'\n  e\n# f\nE\ng\n```\n```text\nh\n```\n";
        assert_eq!(commands(page), ["a b", "c    # why", "cat > d <<'E'\n  e\n# f\nE", "g"]);
    }

    #[test]
    fn readme_is_short() {
        let words = |count| "word ".repeat(count);
        assert_eq!(check(&Tree::of([("README.md", &words(1_300))])), []);
        assert!(check(&Tree::of([("README.md", &words(1_301))]))[0].what.starts_with("1301 words"));
    }
}
