//! Figures in the README: each table of numbers has the command that makes it, or a page of evidence, in its section.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Problem;
use super::tree::Tree;

/// Pages that have the commands for their figures.
const EVIDENCE: [&str; 3] = ["docs/performance.md", "docs/profile.md", "docs/size.md"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(readme) = tree.source("README.md") else { return Vec::new() };
    let what =
        "a table of numbers without the command that makes them, or a link to a page of evidence, in its section";
    tables_without_source(&readme.text).map(|line| Problem::new("figures", "README.md", line, what)).collect()
}

/// The lines where tables of numbers begin in sections that say nothing of where they are from.
fn tables_without_source(page: &str) -> impl Iterator<Item = usize> {
    let mut unsourced = Vec::new();
    let (mut tables, mut has_source) = (Vec::new(), false);
    let mut table: Option<Table> = None;
    for (event, range) in Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter() {
        match (event, &mut table) {
            (Event::Start(Tag::Heading { .. }), _) => {
                unsourced.extend(std::mem::take(&mut tables).into_iter().filter(|_| !has_source));
                has_source = false;
            }
            (Event::Code(code), _) if code.starts_with("cargo xtask ") => has_source = true,
            (Event::Start(Tag::Link { dest_url, .. }), _) => {
                has_source |= EVIDENCE.iter().any(|page| dest_url.starts_with(page));
            }
            (Event::Start(Tag::Table(_)), _) => {
                table = Some(Table { line: page[..range.start].matches('\n').count() + 1, ..Table::default() });
            }
            (Event::Text(text), Some(table)) => table.add(&text),
            (Event::End(TagEnd::Table), Some(ended)) => {
                tables.extend(ended.is_of_numbers().then_some(ended.line));
                table = None;
            }
            _ => {}
        }
    }
    unsourced.extend(tables.into_iter().filter(|_| !has_source));
    unsourced.into_iter()
}

#[derive(Default)]
struct Table {
    line: usize,
    numbers: usize,
    words: usize,
}

impl Table {
    fn add(&mut self, cell: &str) {
        let is_number = cell.starts_with(|c: char| c.is_ascii_digit())
            && !cell.contains(|c: char| c.is_alphabetic() && !"kKMGB".contains(c));
        if is_number {
            self.numbers += 1;
        } else {
            self.words += 1;
        }
    }

    fn is_of_numbers(&self) -> bool {
        self.numbers * 3 >= self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: &str = "\n| file | bytes |\n| --- | ---: |\n| a | 1,234 |\n| b | 56 KB |\n\n";

    fn found(page: &str) -> Vec<usize> {
        check(&Tree::of([("README.md", page)])).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn numbers_with_their_command_or_page_are_good() {
        assert_eq!(found(&format!("# Sizes\n{NUMBERS}By `cargo xtask build`.\n")), [0; 0]);
        assert_eq!(found(&format!("# Speed\n\nSee [there](docs/performance.md#x).\n{NUMBERS}")), [0; 0]);
        assert_eq!(found("# Forms\n\n| form | for |\n| --- | --- |\n| a | b |\n| c | 3 d |\n"), [0; 0]);
    }

    #[test]
    fn numbers_alone_are_not() {
        assert_eq!(found(&format!("# Sizes\n{NUMBERS}# Speed\n\n`cargo xtask bench`\n")), [3]);
    }
}
