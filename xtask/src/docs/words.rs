//! Words that are not used any more, and what is written instead: `xtask/words.txt`.

use super::Problem;
use super::prose::Prose;
use super::tree::{Source, Tree};

const FILE: &str = "xtask/words.txt";

/// Words that are looked for in the same way.
#[derive(Debug, Default)]
struct Section<'a> {
    /// Whether they are names, which no file has, or English, which nothing has that users read.
    are_names: bool,
    /// How the paths begin of files that may have them.
    except: Vec<&'a str>,
    /// Each with what is written instead.
    words: Vec<(&'a str, &'a str)>,
}

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let Some(list) = tree.source(FILE) else {
        return vec![Problem::new("words", FILE, 1, "the word list is missing")];
    };
    let (sections, mut problems) = parse(&list.text);
    for section in &sections {
        for source in tree.sources().filter(|source| section.is_for(source)) {
            let prose = if section.are_names { Prose::raw(source) } else { Prose::of(source) };
            problems.extend(section.find_in(source, &prose));
        }
    }
    problems
}

/// Reads the list: a line `[english]` or `[names]`, which may have `except` and paths behind it, then a line for each
/// word. A line that begins with `#` is a comment.
fn parse(list: &str) -> (Vec<Section<'_>>, Vec<Problem>) {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut problems = Vec::new();
    for (line, number) in list.lines().zip(1..) {
        let wrong = Problem::new("words", FILE, number, "neither a section nor `word = what to write instead`");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some((kind, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            let except = rest.trim().strip_prefix("except").unwrap_or_default().split_whitespace().collect();
            match kind {
                "english" | "names" => {
                    sections.push(Section { are_names: kind == "names", except, words: Vec::new() });
                }
                _ => problems.push(wrong),
            }
            continue;
        }
        match (sections.last_mut(), line.split_once(" = ")) {
            (Some(section), Some(word)) => section.words.push(word),
            _ => problems.push(wrong),
        }
    }
    (sections, problems)
}

impl Section<'_> {
    fn is_for(&self, source: &Source) -> bool {
        // Locks and data have words of others.
        let is_written = !["lock", "json", "svg", "txt", "sum"].iter().any(|extension| source.is(extension));
        is_written && !self.except.iter().any(|path| source.path.starts_with(path))
    }

    fn find_in(&self, source: &Source, prose: &Prose) -> Vec<Problem> {
        let text = if self.are_names { prose.text.clone() } else { prose.text.to_ascii_lowercase() };
        let found = |word: &str, instead: &str| {
            let places: Vec<_> = places(&text, word).collect();
            let problem =
                |place| Problem::new("words", &source.path, prose.line(place), format!("\"{word}\": write {instead}"));
            places.into_iter().map(problem).collect::<Vec<_>>()
        };
        self.words.iter().flat_map(|(word, instead)| found(word, instead)).collect()
    }
}

/// Where a word stands alone.
pub(super) fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).map(|(place, _)| place).filter(move |&place| {
        let (before, after) = (&text[..place], &text[place + word.len()..]);
        !before.chars().next_back().is_some_and(is_part) && !after.chars().next().is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# A comment\n[english]\ngo yonder = \"come here\"\n\n[names] except CHANGELOG.md docs/from-\n\
                        old_name = `new_name`\n";

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let problems = check(&Tree::of([(FILE, LIST), (path, text)]));
        problems.into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn english_is_found_where_users_read_it() {
        let expected = [(2, "\"go yonder\": write \"come here\"".to_owned())];
        assert_eq!(found("docs/a.md", "\n- Then go\n  yonder.\n"), [(2, expected[0].1.clone())]);
        assert_eq!(found("wit/a.wit", "\n/// Go yonder.\n"), expected);
        assert_eq!(found("src/a.rs", "\n\"go yonder\"\n"), expected);
        assert_eq!(found("tests/a.rs", "\n/// Go yonder.\n"), []);
        assert_eq!(found("docs/a.md", "Go.\n\nYonder, go yonderly.\n"), []);
    }

    #[test]
    fn names_are_found_wherever_they_may_not_be() {
        let expected = [(1, "\"old_name\": write `new_name`".to_owned())];
        assert_eq!(found("tests/a.rs", "f.old_name();\n"), expected);
        assert_eq!(found("docs/a.md", "`old_name`\n"), expected);
        for path in ["CHANGELOG.md", "docs/from-0.2.md", "Cargo.lock"] {
            assert_eq!(found(path, "old_name\n"), [], "{path}");
        }
        assert_eq!(found("src/a.rs", "very_old_name, old_names, Old_Name, old_name-d\n"), []);
    }

    #[test]
    fn list_that_cannot_be_read_is_a_problem() {
        let (_, problems) = parse("[latin]\na = b\n[names]\nold name\n");
        assert_eq!(problems.iter().map(|problem| problem.line).collect::<Vec<_>>(), [1, 2, 4]);
    }
}
