//! The pieces that the report's text is made of.

/// A table, with a column to the left for each thing that a row is of, and one to the right for each figure.
pub(super) struct Table {
    text: String,
    is_empty: bool,
}

impl Table {
    pub(super) fn new(left: &[&str], right: &[&str]) -> Self {
        let heads = left.iter().chain(right).map(|head| (*head).to_owned());
        let mut table = Self { text: String::new(), is_empty: true };
        table.line(heads);
        let rules = left.iter().map(|_| "---").chain(right.iter().map(|_| "---:"));
        table.line(rules.map(Into::into));
        table
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.line(cells);
        self.is_empty = false;
    }

    /// With an empty line behind it; nothing without rows.
    pub(super) fn text(self) -> String {
        if self.is_empty { String::new() } else { self.text + "\n" }
    }

    fn line(&mut self, cells: impl IntoIterator<Item = String>) {
        self.text.push('|');
        for cell in cells {
            let cell = one_line(&cell).replace('|', "\\|");
            let space = if cell.is_empty() { "" } else { " " };
            self.text += &format!("{space}{cell} |");
        }
        self.text.push('\n');
    }
}

pub(super) fn bold(text: &str) -> String {
    format!("**{text}**")
}

/// In bold if that is said.
pub(super) fn bold_if(is_bold: bool, text: String) -> String {
    if is_bold { bold(&text) } else { text }
}

pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// A paragraph, broken into lines of the width that text in this repository has.
pub(super) fn paragraph(text: &str) -> String {
    wrapped(text, "", "") + "\n"
}

/// An entry of a list.
pub(super) fn item(text: &str) -> String {
    wrapped(text, "- ", "  ")
}

pub(super) fn image(title: &str, file: &str) -> String {
    format!("![{title}]({file})\n\n")
}

/// The text of a heading as links name it, and of anything as a file's name has it.
pub(super) fn slug(text: &str) -> String {
    let simple = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let text: String = text.chars().map(simple).collect();
    text.split_whitespace().collect::<Vec<_>>().join("-")
}

/// What others say may have lines of its own.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn wrapped(text: &str, first: &str, others: &str) -> String {
    const WIDTH: usize = 120;
    let (mut all, mut line) = (String::new(), first.to_owned());
    let mut is_begun = false;
    for word in text.split_whitespace() {
        if is_begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            all += line.trim_end();
            all.push('\n');
            (line, is_begun) = (others.into(), false);
        }
        if is_begun {
            line.push(' ');
        }
        line += word;
        is_begun = true;
    }
    all + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_its_figures_to_the_right() {
        let mut table = Table::new(&["who"], &["ns", "spread"]);
        table.row(["a|b".into(), "1".into(), String::new()]);
        assert_eq!(table.text(), "| who | ns | spread |\n| --- | ---: | ---: |\n| a\\|b | 1 | |\n\n");
    }

    #[test]
    fn table_without_rows_is_nothing() {
        assert_eq!(Table::new(&["who"], &["ns"]).text(), "");
    }

    #[test]
    fn paragraph_is_broken_between_words() {
        let text = paragraph(&"word ".repeat(30));
        let lines: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lines, [119, 29, 0]);
    }

    #[test]
    fn slug_has_letters_digits_and_hyphens() {
        assert_eq!(slug("Publish at QoS 0, 64 B"), "publish-at-qos-0-64-b");
    }
}
