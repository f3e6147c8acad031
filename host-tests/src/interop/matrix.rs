//! What came of each promise, beside what the table says.

use std::fmt::Write as _;

use super::{BROKERS, Broker, Exception, FORMS, Form, PROMISES, Promise, Restart, Speaks};

/// In the order of the page.
const RESTARTS: [Restart; 3] = [Restart::StoppedAtFirst, Restart::Stopped, Restart::Killed];

/// The words of a line.
const HOLDS: &str = "holds";
const KNOWN: &str = "known";
const UNSET: &str = "unset";

/// What came of a promise at a broker in one form.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The broker's name.
    pub broker: &'static str,
    /// The promise's name.
    pub promise: &'static str,
    /// The form of the client.
    pub form: Form,
    /// What that means.
    pub verdict: Verdict,
}

/// What came of a promise, beside what the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds, and the table says nothing else.
    Holds,
    /// It does not, as the table says, for this reason.
    Known(&'static str),
    /// It does not, and that is not what the table says.
    Broken(String),
    /// It holds, and the table says that it does not.
    Outdated(&'static str),
    /// There is no setting for it.
    Unset,
}

/// What came of trying it, if nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It holds.
    Holds,
    /// There is no setting for it.
    Unset,
}

/// All that came of it.
#[derive(Debug, Default)]
pub struct Matrix {
    /// In the order of trying.
    pub cells: Vec<Cell>,
}

impl Cell {
    /// Compares what came of it with what is known of this broker.
    #[must_use]
    pub fn of(
        broker: &'static str,
        exceptions: &'static [Exception],
        promise: &'static str,
        form: Form,
        outcome: Result<Tried, String>,
    ) -> Self {
        let exception = exceptions.iter().find(|exception| exception.promise == promise);
        let verdict = match (outcome, exception) {
            (Ok(Tried::Unset), _) => Verdict::Unset,
            (Ok(Tried::Holds), None) => Verdict::Holds,
            (Ok(Tried::Holds), Some(exception)) if exception.is_certain => Verdict::Outdated(exception.why),
            (Ok(Tried::Holds), Some(exception)) => Verdict::Known(exception.why),
            (Err(seen), Some(exception)) if seen.contains(exception.seen) => Verdict::Known(exception.why),
            (Err(seen), _) => Verdict::Broken(seen),
        };
        Self { broker, promise, form, verdict }
    }

    /// As a line of a file, if nothing is wrong.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let word = match self.verdict {
            Verdict::Holds => HOLDS,
            Verdict::Known(_) => KNOWN,
            Verdict::Unset => UNSET,
            Verdict::Broken(_) | Verdict::Outdated(_) => return None,
        };
        Some(format!("{} {} {word}", self.promise, self.form.name()))
    }

    /// The one of this broker that has this line, if the table still says the same of it.
    #[must_use]
    pub fn from_line(broker: &Broker, line: &str) -> Option<Self> {
        let promises = PROMISES.iter().filter(|promise| promise.speaks == broker.speaks).map(|promise| promise.name);
        Self::among(broker.name, broker.exceptions, promises.chain(RESTARTS.map(Restart::name)), line)
    }

    /// The one of this name that has this line, which is of one of these promises.
    pub(super) fn among(
        broker: &'static str,
        exceptions: &'static [Exception],
        mut promises: impl Iterator<Item = &'static str>,
        line: &str,
    ) -> Option<Self> {
        let [name, form, word] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let promise = promises.find(|promise| *promise == name)?;
        let form = FORMS.into_iter().find(|known| known.name() == form)?;
        let exception = exceptions.iter().find(|exception| exception.promise == promise);
        let verdict = match (word, exception) {
            (UNSET, _) => Verdict::Unset,
            (HOLDS, None) => Verdict::Holds,
            (KNOWN, Some(exception)) => Verdict::Known(exception.why),
            (HOLDS, Some(exception)) if !exception.is_certain => Verdict::Known(exception.why),
            _ => return None,
        };
        Some(Self { broker, promise, form, verdict })
    }

    /// What is wrong, if something is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let Self { broker, promise, form, verdict } = self;
        let form = form.name();
        match verdict {
            Verdict::Holds | Verdict::Known(_) | Verdict::Unset => None,
            Verdict::Broken(seen) => Some(format!("{broker}, {form}: {promise}: {seen}")),
            Verdict::Outdated(why) => Some(format!("{broker}, {form}: {promise} holds, and the table says: {why}")),
        }
    }
}

impl Matrix {
    /// Everything that is not as the table says.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.cells.iter().filter_map(Cell::problem).collect()
    }

    /// As a table of Markdown: a row for each promise, a column for each broker that was tried. A number refers to a
    /// reason below.
    #[must_use]
    pub fn markdown(&self, version: impl Fn(&str) -> String) -> String {
        let mut page = String::new();
        let mut reasons: Vec<&str> = Vec::new();
        let brokers: Vec<&Broker> = BROKERS.iter().filter(|broker| self.has(broker.name)).collect();
        let newer: Vec<&Broker> = brokers.iter().copied().filter(|broker| broker.speaks == Speaks::V5).collect();
        page += "| |";
        newer.iter().for_each(|broker| page += &format!(" {} |", broker.title));
        page += "\n| --- |";
        newer.iter().for_each(|_| page += " --- |");
        page += "\n| version tried |";
        newer.iter().for_each(|broker| page += &format!(" {} |", version(broker.name)));
        page.push('\n');
        let promises = PROMISES
            .iter()
            .filter(|promise| promise.speaks == Speaks::V5)
            .map(|Promise { name, says, .. }| (*name, *says));
        let restarts = RESTARTS.map(|restart| (restart.name(), restart.says()));
        for (name, says) in promises.chain(restarts) {
            let _ = write!(page, "| {says} |");
            for broker in &newer {
                let _ = write!(page, " {} |", self.mark(broker.name, name, &mut reasons));
            }
            page.push('\n');
        }
        page + &notes(&reasons)
    }

    /// As lines to print.
    #[must_use]
    pub fn lines(&self) -> String {
        let mut lines = String::new();
        let broken = |cells: &[&Cell]| cells.iter().any(|cell| cell.problem().is_some());
        let mut names: Vec<&str> = self.cells.iter().map(|cell| cell.broker).collect();
        names.dedup();
        for name in names {
            let mut cells: Vec<&Cell> = self.cells.iter().filter(|cell| cell.broker == name).collect();
            while let Some(promise) = cells.first().map(|cell| cell.promise) {
                let (these, others): (Vec<&Cell>, _) = cells.into_iter().partition(|cell| cell.promise == promise);
                let mark = match &these[0].verdict {
                    _ if broken(&these) => "BROKEN",
                    Verdict::Known(_) => "known not to",
                    Verdict::Unset => "no setting",
                    _ => "holds",
                };
                let _ = writeln!(lines, "{name:15} {promise:55} {mark}");
                cells = others;
            }
        }
        lines
    }

    pub(super) fn has(&self, broker: &str) -> bool {
        self.cells.iter().any(|cell| cell.broker == broker)
    }

    /// What came of a promise in all forms, in a word; and its reason, if it has one that is not there yet.
    pub(super) fn mark(&self, broker: &str, promise: &str, reasons: &mut Vec<&'static str>) -> String {
        let cells = self.cells.iter().filter(|cell| cell.broker == broker && cell.promise == promise);
        let verdicts: Vec<_> = cells.map(|cell| &cell.verdict).collect();
        if verdicts.len() < FORMS.len() {
            return "not tried".into();
        }
        if verdicts.iter().all(|verdict| **verdict == Verdict::Holds) {
            return "yes".into();
        }
        if verdicts.iter().all(|verdict| **verdict == Verdict::Unset) {
            return "–".into();
        }
        let why = verdicts.iter().find_map(|verdict| match verdict {
            Verdict::Known(why) => Some(*why),
            _ => None,
        });
        let Some(why) = why else { return "BROKEN".into() };
        let number = reasons.iter().position(|reason| *reason == why).unwrap_or_else(|| {
            reasons.push(why);
            reasons.len() - 1
        });
        format!("no ({})", number + 1)
    }
}

/// The reasons that marks refer to.
pub(super) fn notes(reasons: &[&str]) -> String {
    let mut notes = String::new();
    for (number, reason) in (1..).zip(reasons) {
        notes += &wrapped(&format!("\n{number}. {reason}"));
    }
    notes.push('\n');
    notes
}

/// The same in lines that the page may have.
fn wrapped(text: &str) -> String {
    const COLUMNS: usize = 120;
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > COLUMNS {
            lines += "\n   ";
            column = 3;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines += word;
        column += len;
    }
    lines
}
