//! Prose in paragraphs: of Markdown, and of the doc comments of Rust and WIT, which are Markdown too.

use super::rust::{Piece, pieces};
use super::tree::Source;

/// A line of prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    /// Without indentation and without what marks it as a comment or a quotation.
    pub(super) text: &'a str,
    /// How many characters the whole line has.
    pub(super) width: usize,
}

/// What belongs to one item, or is a whole page.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    pub(super) lines: Vec<Line<'a>>,
    /// Whether an attribute before it opens code.
    begins_in_code: bool,
}

/// What opens and closes code.
const FENCE: &str = "```";

/// What a line of Markdown is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing, or something that is no prose.
    Gap,
    /// A heading, or another line that belongs to none beside it.
    Alone,
    /// The first line of an item of a list.
    Begins,
    /// Text that may belong to the line before it.
    Text,
}

/// The prose of a file: a block for each item, or one for a page. None for other kinds of files.
pub(super) fn blocks(source: &Source) -> Vec<Block<'_>> {
    let lines = source.text.lines().zip(1..);
    match source.path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("md") => {
            let lines = lines.map(|(line, number)| Line::new(number, line, line)).collect();
            vec![Block { lines, begins_in_code: false }]
        }
        Some("wit") => commented(lines.filter_map(|(line, number)| Some((number, line, comment(line)?)))),
        Some("rs") => {
            let whole: Vec<&str> = source.text.lines().collect();
            let docs = pieces(&source.text).into_iter().filter_map(|(number, piece)| match piece {
                Piece::Doc(text) => Some((number, whole[number - 1], text)),
                Piece::String(_) => None,
            });
            let mut blocks = commented(docs);
            for block in &mut blocks {
                // Counted from 1, so this is the line before it.
                let before = block.lines[0].number.checked_sub(2).map_or("", |index| whole[index].trim_start());
                // An attribute may open code: `#[cfg_attr(…, doc = "```no_run")]`, or a macro that makes the same.
                let is_cut = block.lines.iter().filter(|line| line.text.starts_with(FENCE)).count() % 2 == 1;
                block.begins_in_code = is_cut && before.starts_with('#') && before.contains("doc = ");
            }
            blocks
        }
        _ => Vec::new(),
    }
}

/// The text of a doc comment in WIT.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("///")?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

/// Lines that follow one another with the same indentation are one block.
fn commented<'a>(lines: impl Iterator<Item = (usize, &'a str, &'a str)>) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    let mut last = None;
    for (number, line, text) in lines {
        let indentation = line.len() - line.trim_start().len();
        if last != Some((number - 1, indentation)) {
            blocks.push(Block::default());
        }
        last = Some((number, indentation));
        if let Some(block) = blocks.last_mut() {
            block.lines.push(Line::new(number, line, text));
        }
    }
    blocks
}

impl<'a> Line<'a> {
    fn new(number: usize, line: &'a str, text: &'a str) -> Self {
        Self { number, text: text.trim(), width: line.trim_end().chars().count() }
    }

    fn kind(&self) -> Kind {
        let text = self.text;
        let is_heading = text.starts_with('#');
        let is_no_prose = text.is_empty() || text.starts_with(['|', '<']) || text.starts_with("---");
        match () {
            () if is_no_prose => Kind::Gap,
            () if is_heading || is_link_definition(text) => Kind::Alone,
            () if is_item(text) => Kind::Begins,
            () => Kind::Text,
        }
    }
}

fn is_link_definition(text: &str) -> bool {
    text.starts_with('[') && text.contains("]: ")
}

fn is_item(text: &str) -> bool {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    ["- ", "* ", "+ "].iter().any(|mark| text.starts_with(mark))
        || number.len() < text.len() && (number.starts_with(". ") || number.starts_with(") "))
}

impl<'a> Block<'a> {
    /// The lines without those of fenced code.
    pub(super) fn outside_code(&self) -> impl Iterator<Item = Line<'a>> {
        let mut fence = self.begins_in_code.then_some(FENCE);
        self.lines.iter().copied().filter(move |line| {
            let mark = [FENCE, "~~~"].into_iter().find(|mark| line.text.starts_with(mark));
            match (fence, mark) {
                (None, Some(mark)) => {
                    fence = Some(mark);
                    false
                }
                (Some(open), mark) => {
                    if mark == Some(open) && line.text.trim_start_matches(&open[..1]).is_empty() {
                        fence = None;
                    }
                    false
                }
                (None, None) => true,
            }
        })
    }

    /// Paragraphs: lines that are one text, however they are wrapped.
    pub(super) fn paragraphs(&self) -> Vec<Vec<Line<'a>>> {
        let mut paragraphs: Vec<Vec<Line<'a>>> = Vec::new();
        let mut last = (Kind::Gap, 0);
        for line in self.outside_code() {
            let kind = line.kind();
            let goes_with_last =
                kind == Kind::Text && matches!(last, (Kind::Text | Kind::Begins, number) if number + 1 == line.number);
            match paragraphs.last_mut() {
                Some(paragraph) if goes_with_last => paragraph.push(line),
                _ if kind != Kind::Gap => paragraphs.push(vec![line]),
                _ => {}
            }
            last = (kind, line.number);
        }
        paragraphs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::tree::Tree;

    fn texts(path: &str, text: &str) -> Vec<Vec<Vec<String>>> {
        let tree = Tree::of([(path, text)]);
        let blocks = blocks(tree.source(path).unwrap());
        let texts = |lines: Vec<Line<'_>>| lines.iter().map(|line| line.text.to_owned()).collect();
        blocks.iter().map(|block| block.paragraphs().into_iter().map(texts).collect()).collect()
    }

    #[test]
    fn page_is_split_where_markdown_does() {
        let page = "# A\none\ntwo\n\n- b\n  c\n- d\n\n```sh\ncode\n```\n| e | f |\n1. g\nh\n";
        let expected: Vec<Vec<&str>> =
            vec![vec!["# A"], vec!["one", "two"], vec!["- b", "c"], vec!["- d"], vec!["1. g", "h"]];
        assert_eq!(texts("a.md", page), [expected]);
    }

    #[test]
    fn each_item_of_rust_and_wit_is_a_block() {
        let rust = "/// One\n/// two.\nfn f() {\n    /// Three.\n    g();\n}\n";
        assert_eq!(texts("a.rs", rust), [[vec!["One", "two."]], [vec!["Three."]]]);
        let wit = "/// One\n///\n/// two.\ninterface a {\n  /// Three.\n  b: func();\n";
        assert_eq!(texts("a.wit", wit), [vec![vec!["One"], vec!["two."]], vec![vec!["Three."]]]);
    }

    #[test]
    fn code_that_an_attribute_opens_is_no_prose() {
        let rust = "/// One.\n///\n#[cfg_attr(feature = \"std\", doc = \"```no_run\")]\n\
                    #[cfg_attr(not(feature = \"std\"), doc = \"```ignore\")]\n/// code();\n/// ```\n/// Two.\n";
        assert_eq!(texts("a.rs", rust), [[vec!["One."]], [vec!["Two."]]]);
        let rust = "#[doc = example!()]\n/// code();\n/// ```\n/// Two.\n";
        assert_eq!(texts("a.rs", rust), [[vec!["Two."]]]);
    }

    #[test]
    fn width_is_that_of_the_whole_line() {
        let tree = Tree::of([("a.rs", "    /// é.\n")]);
        assert_eq!(blocks(tree.source("a.rs").unwrap())[0].lines[0], Line { number: 1, text: "é.", width: 10 });
    }
}
