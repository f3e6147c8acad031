//! Rust's source text: where its doc comments and its string literals are.

/// A piece of the source that people read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A doc comment, without what marks it.
    Doc(&'a str),
    /// What stands in a string literal, as it is written.
    String(&'a str),
}

/// The pieces of a source in order, each with the number of its first line.
pub(super) fn pieces(source: &str) -> Vec<(usize, Piece<'_>)> {
    let mut scanner = Scanner { source, at: 0, line: 1 };
    let mut pieces = Vec::new();
    while let Some(next) = scanner.rest().chars().next() {
        let line = scanner.line;
        let piece = match next {
            '/' if scanner.rest().starts_with("//") => scanner.line_comment(),
            '/' if scanner.rest().starts_with("/*") => {
                scanner.block_comment();
                None
            }
            '"' => Some(scanner.string()),
            '\'' => {
                scanner.character_or_lifetime();
                None
            }
            _ if next.is_alphanumeric() || next == '_' => scanner.word(),
            _ => {
                scanner.skip(next.len_utf8());
                None
            }
        };
        pieces.extend(piece.map(|piece| (line, piece)));
    }
    pieces
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn skip(&mut self, len: usize) -> &'a str {
        let (skipped, _) = self.rest().split_at(len.min(self.rest().len()));
        self.line += skipped.matches('\n').count();
        self.at += skipped.len();
        skipped
    }

    fn line_comment(&mut self) -> Option<Piece<'a>> {
        let len = self.rest().find('\n').unwrap_or(self.rest().len());
        let comment = self.skip(len);
        let doc = comment.strip_prefix("//!").or_else(|| comment.strip_prefix("///"))?;
        // Four slashes are a comment like any other.
        (!doc.starts_with('/')).then(|| Piece::Doc(doc.strip_prefix(' ').unwrap_or(doc)))
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while !self.rest().is_empty() {
            if self.rest().starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest().starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else {
                self.skip(self.rest().chars().next().map_or(0, char::len_utf8));
            }
            if depth == 0 {
                break;
            }
        }
    }

    /// A string of which the quote comes next.
    fn string(&mut self) -> Piece<'a> {
        self.skip(1);
        let rest = self.rest();
        let mut is_escaped = false;
        let end = rest.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        });
        let text = self.skip(end.unwrap_or(rest.len()));
        self.skip(1);
        Piece::String(text)
    }

    fn raw_string(&mut self, hashes: usize) -> Piece<'a> {
        self.skip(hashes + 1);
        let end = format!("\"{}", "#".repeat(hashes));
        let len = self.rest().find(&end).unwrap_or(self.rest().len());
        let text = self.skip(len);
        self.skip(end.len());
        Piece::String(text)
    }

    fn character_or_lifetime(&mut self) {
        let mut chars = self.rest().chars().skip(1);
        match (chars.next(), chars.next()) {
            (Some('\\'), _) => {
                // What is escaped, and then all up to the quote.
                self.skip(2);
                self.skip(self.rest().chars().next().map_or(0, char::len_utf8));
                let len = self.rest().find('\'').map_or(self.rest().len(), |place| place + 1);
                self.skip(len);
            }
            (Some(c), Some('\'')) => {
                self.skip(1 + c.len_utf8() + 1);
            }
            _ => {
                self.skip(1);
            }
        }
    }

    fn word(&mut self) -> Option<Piece<'a>> {
        let rest = self.rest();
        let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = self.skip(len);
        let hashes = self.rest().len() - self.rest().trim_start_matches('#').len();
        let is_quoted = self.rest()[hashes..].starts_with('"');
        match word {
            "r" | "br" | "cr" if is_quoted => Some(self.raw_string(hashes)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Piece::{Doc, String};
    use super::*;

    #[test]
    fn doc_comments_and_strings_are_found() {
        let source = "//! The module.\n// Not this.\n/// An \"item\".\nfn f() { g(\"a \\\" b\"); }\n//// Nor this.\n";
        let expected = [(1, Doc("The module.")), (3, Doc("An \"item\".")), (4, String("a \\\" b"))];
        assert_eq!(pieces(source), expected);
    }

    #[test]
    fn raw_strings_end_with_their_hashes() {
        assert_eq!(pieces("r#\"a \"b\" \\\"# + br\"c\""), [(1, String("a \"b\" \\")), (1, String("c"))]);
    }

    #[test]
    fn quotes_of_characters_and_lifetimes_begin_no_string() {
        assert_eq!(pieces("'\"' '\\'' b'\\\\' &'a str '\\u{22}' /* \" /* */ \" */ \"x\""), [(1, String("x"))]);
    }

    #[test]
    fn lines_are_counted_in_all_that_is_skipped() {
        assert_eq!(pieces("/*\n*/\n\"a\nb\"\n/// c"), [(3, String("a\nb")), (5, Doc("c"))]);
    }
}
