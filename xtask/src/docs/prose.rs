//! Text as one reads it: without line ends and what marks comments, and with the lines that it is from.

use super::blocks::blocks;
use super::rust::{Piece, pieces};
use super::tree::Source;

/// Words with one space between them, and a line end where one text ends.
#[derive(Debug, Default)]
pub(super) struct Prose {
    pub(super) text: String,
    /// Where each line of the file begins in the text, and its number.
    lines: Vec<(usize, usize)>,
}

impl Prose {
    /// What users read of a file: pages, docs, and messages. Nothing of most files.
    pub(super) fn of(source: &Source) -> Self {
        let mut prose = Self::default();
        if !source.is_for_users() {
            return prose;
        }
        if source.is("md") || source.path == ".env.example" {
            for (line, number) in source.text.lines().zip(1..) {
                prose.push(number, line.trim_start_matches([' ', '>', '#', '|', '-', '*']));
            }
        } else if source.is("wit") {
            for block in blocks(source) {
                block.lines.iter().for_each(|line| prose.push(line.number, line.text));
                prose.end();
            }
        } else if source.is("rs") {
            for (number, piece) in pieces(&source.text) {
                match piece {
                    Piece::Doc(line) => prose.push(number, line),
                    Piece::String(text) => {
                        prose.end();
                        for (line, number) in text.lines().zip(number..) {
                            // The mark of a string that continues, and line ends within one.
                            prose.push(number, line.trim_end_matches('\\').trim_end_matches("\\n"));
                        }
                        prose.end();
                    }
                }
            }
        }
        prose
    }

    /// Every line of a file, as it is.
    pub(super) fn raw(source: &Source) -> Self {
        let mut prose = Self::default();
        for (line, number) in source.text.lines().zip(1..) {
            prose.push(number, line);
        }
        prose
    }

    fn push(&mut self, number: usize, line: &str) {
        if line.trim().is_empty() {
            return self.end();
        }
        self.lines.push((self.text.len(), number));
        for word in line.split_whitespace() {
            self.text.push_str(word);
            self.text.push(' ');
        }
    }

    fn end(&mut self) {
        self.text.push('\n');
    }

    /// The number of the line that this place of the text is from.
    pub(super) fn line(&self, place: usize) -> usize {
        let behind = self.lines.partition_point(|(start, _)| *start <= place);
        behind.checked_sub(1).map_or(1, |index| self.lines[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::tree::Tree;

    fn read(path: &str, text: &str) -> Prose {
        Prose::of(Tree::of([(path, text)]).source(path).unwrap())
    }

    #[test]
    fn lines_of_a_text_are_joined() {
        let prose = read("a.md", "> one\n> two\n\n- three\n");
        assert_eq!(prose.text, "one two \nthree ");
        assert_eq!(["one", "two", "three"].map(|word| prose.line(prose.text.find(word).unwrap())), [1, 2, 4]);
    }

    #[test]
    fn rust_has_docs_and_messages() {
        let source = "/// One\n/// two.\nfn f() { say(\"three \\\n    four\"); } // five\n";
        assert_eq!(read("src/a.rs", source).text, "One two. \nthree four \n");
        assert_eq!(read("tests/a.rs", source).text, "");
    }
}
