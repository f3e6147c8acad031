//! How docs are laid out: lines that are too long or badly broken, and what says nothing yet.

use super::Problem;
use super::blocks::{Block, Line, blocks};
use super::tree::{Source, Tree};
use super::words::places;

/// How many columns a line may have.
const WIDTH: usize = 120;

/// A line that ends in the middle of a sentence has at least so many columns, unless the next word is too long for it.
/// What is wrapped at any width from here on is left alone.
const HALF: usize = WIDTH / 2;

/// What stands where something is still to be written.
const STUBS: [&str; 5] = ["TODO", "TBD", "FIXME", "XXX", "Lorem ipsum"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.sources().filter(|source| source.is_for_users()) {
        for block in blocks(source) {
            problems.extend(check_block(source, &block));
        }
    }
    problems
}

fn check_block(source: &Source, block: &Block<'_>) -> Vec<Problem> {
    let problem = |line: &Line<'_>, what: String| Problem::new("layout", &source.path, line.number, what);
    let mut problems = Vec::new();
    for line in block.outside_code() {
        if is_too_long(&line) {
            problems.push(problem(&line, format!("{} columns: wrap at {WIDTH}", line.width)));
        }
        if let Some(stub) = STUBS.iter().find(|stub| places(line.text, stub).next().is_some()) {
            problems.push(problem(&line, format!("{stub}: write it, or leave it out")));
        }
    }
    let what = "ends early in the middle of a sentence: wrap the paragraph again";
    for paragraph in block.paragraphs() {
        let broken = paragraph.windows(2).filter(|lines| is_broken(&lines[0], lines[1].text));
        problems.extend(broken.map(|lines| problem(&lines[0], what.into())));
    }
    if source.is("md") {
        let what = "a heading with nothing below it";
        problems.extend(empty_sections(block).iter().map(|line| problem(line, what.into())));
    } else if let Some(stub) = stub(block) {
        problems.push(problem(&block.lines[0], stub.into()));
    }
    problems
}

/// Whether a line has more columns than it may, and a space to break it at.
fn is_too_long(line: &Line<'_>) -> bool {
    let text = line.text.trim_start_matches(['-', '*', '>', '#', ' ']);
    // A row of a table, and what stands for a link, are one line each.
    let is_one_line = text.starts_with('|') || text.starts_with('[') && text.contains("]: ");
    line.width > WIDTH && !is_one_line && first_unit(text) != text
}

/// Whether `line` is much shorter than it could be, though its sentence continues.
fn is_broken(line: &Line<'_>, next: &str) -> bool {
    let ends = line.text.ends_with(['.', ':', ';', '!', '?', '\\']) || line.text.ends_with("</p>");
    let closes = line.text.trim_end_matches([')', '`', '*', '"', '”']).ends_with(['.', ':', ';', '!', '?']);
    // A line that is one link, or one piece of code, stands alone on purpose.
    let is_one = first_unit(line.text) == line.text && line.text.ends_with([')', '`']);
    let with_next = line.width + 1 + first_unit(next).chars().count();
    line.width < HALF && !ends && !closes && !is_one && with_next <= WIDTH
}

/// The first word; code, and a link with its text, are one word, whatever spaces they have.
fn first_unit(text: &str) -> &str {
    let (mut is_code, mut depth, mut before) = (false, 0_u32, ' ');
    for (place, c) in text.char_indices() {
        match c {
            '`' => is_code = !is_code,
            _ if is_code => {}
            '[' => depth += 1,
            '(' if before == ']' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => return &text[..place],
            _ => {}
        }
        before = c;
    }
    text
}

/// What is wrong with a doc comment that says nothing.
fn stub(block: &Block<'_>) -> Option<&'static str> {
    let mut words = block.lines.iter().flat_map(|line| line.text.split_whitespace());
    match (words.next(), words.next()) {
        (None, _) => Some("an empty doc comment"),
        // What stands alone may be a link, or code.
        (Some(word), None) if word.chars().all(|c| c.is_alphanumeric() || c == '.') => {
            Some("a doc comment of one word: say what it is")
        }
        _ => None,
    }
}

/// Headings that the next heading, of the same level or a higher one, or the end follows at once.
fn empty_sections<'a>(page: &Block<'a>) -> Vec<Line<'a>> {
    let level = |line: &Line<'_>| line.text.bytes().take_while(|&byte| byte == b'#').count();
    let outside: Vec<_> = page.outside_code().map(|line| line.number).collect();
    let is_heading = |line: &Line<'_>| level(line) > 0 && outside.contains(&line.number);
    let filled: Vec<_> = page.lines.iter().filter(|line| !line.text.is_empty()).collect();
    let is_empty = |place: usize| match filled.get(place + 1) {
        Some(next) => is_heading(next) && level(next) <= level(filled[place]),
        None => true,
    };
    (0..filled.len())
        .filter(|&place| is_heading(filled[place]) && is_empty(place))
        .map(|place| *filled[place])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&Tree::of([(path, text)])).into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    fn is_good(path: &str, text: &str) {
        assert_eq!(found(path, text), [], "{text}");
    }

    fn is_bad(path: &str, text: &str, line: usize, words: &str) {
        let found = found(path, text);
        assert!(matches!(&found[..], [(number, what)] if *number == line && what.contains(words)), "{text}: {found:?}");
    }

    #[test]
    fn long_lines_are_for_what_cannot_be_broken() {
        let word = "word ".repeat(25);
        is_bad("a.md", &format!("One.\n{word}\n"), 2, "wrap at 120");
        is_bad("src/a.rs", &format!("/// {word}\n"), 1, "wrap at 120");
        is_good("a.md", &format!("| {word} |\n"));
        is_good("a.md", &format!("```text\n{word}\n```\n"));
        is_good("a.md", &format!("- [a {word}](b.md)\n"));
        is_good("src/a.rs", &format!("// {word}\n"));
    }

    #[test]
    fn lines_that_end_early_are_broken() {
        let long = "a long line that is about as long as lines of this text are, and whose sentence continues on";
        is_bad("a.wit", &format!("/// {long}\n/// the\n/// {long}.\n"), 2, "wrap the paragraph");
        is_bad("a.md", &format!("The\n{long}.\n"), 1, "wrap the paragraph");
        is_good("a.md", &format!("{long}\nthe next line.\n"));
        is_good("a.md", &format!("A sentence.\n{long}.\n(In brackets.)\n{long}.\n"));
        is_good("a.md", &format!("- An item\n- {long}.\n\nThe end\n\n{long}.\n"));
        is_good("a.md", "This is wrapped at sixty columns or a little more, as some do,\nand it is well.\n");
        is_good("a.md", &format!("Then\n[{long}, and {long}](b.md).\n"));
    }

    #[test]
    fn stubs_are_found() {
        is_bad("a.md", "# A\n\nTODO: more of it.\n", 3, "TODO");
        is_bad("src/a.rs", "///\nfn f() {}\n", 1, "empty");
        is_bad("a.wit", "/// Options.\nset: func();\n", 1, "one word");
        is_bad("a.md", "# A\n\n## B\n\n## C\n\nText.\n", 3, "nothing below");
        is_bad("a.md", "Text.\n\n# A\n", 3, "nothing below");
        is_good("a.md", "# A\n\n## B\n\nText of `TODO_LIST`, and XXXL.\n");
        is_good("src/a.rs", "/// [`Client`]\nfn f() {}\n/// Its options.\nfn g() {}\n");
    }
}
