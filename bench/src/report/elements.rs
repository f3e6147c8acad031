//! Tables of what messages cost between components, by the type that WIT declares for them.

use super::markdown::{Table, code, paragraph};
use super::numbers::{bytes, figure};
use crate::elements::{Elements, Form, Group, Step};

/// In Markdown.
pub(super) fn text(elements: &Elements) -> String {
    let nothing = figure(elements.nothing);
    let mut text = paragraph(&format!(
        "Nanoseconds a call, and behind them GB/s of payload. A call that brings nothing takes {nothing} ns."
    ));
    for group in &elements.groups {
        text += &if group.messages == 1 { by_step(group) } else { by_size(group) };
    }
    text
}

/// A table for each step, with a column for each size.
fn by_step(group: &Group) -> String {
    let sizes: Vec<_> = group.sizes.iter().map(|&size| bytes(size.into())).collect();
    let sizes: Vec<_> = sizes.iter().map(String::as_str).collect();
    let table = |step| {
        let mut table = Table::new(&["WIT"], &sizes);
        for form in &group.forms {
            let cells = (0..sizes.len()).map(|size| cell(group, form, step, size));
            table.row(std::iter::once(code(&form.name)).chain(cells));
        }
        paragraph(&format!("{}:", in_words(step))) + &table.text()
    };
    Step::ALL.map(table).concat()
}

/// A table for each size, with a column for each step.
fn by_size(group: &Group) -> String {
    let mut text = String::new();
    for (place, &size) in group.sizes.iter().enumerate() {
        let topics = if group.have_topics { ", each with its topic" } else { "" };
        text += &paragraph(&format!("{} messages of {}{topics}:", group.messages, bytes(size.into())));
        let mut table = Table::new(&["WIT"], &Step::ALL.map(in_short));
        for form in &group.forms {
            let cells = Step::ALL.map(|step| cell(group, form, step, place));
            table.row(std::iter::once(code(&form.name)).chain(cells));
        }
        text += &table.text();
    }
    text
}

/// A dash where there is nothing to do.
fn cell(group: &Group, form: &Form, step: Step, size: usize) -> String {
    let time = form.time(step, size);
    if time < 1.0 {
        return "—".into();
    }
    // Bytes a nanosecond, payload only.
    let speed = f64::from(group.messages * group.sizes[size]) / time;
    format!("{} ({})", figure(time), figure(speed))
}

const fn in_short(step: Step) -> &'static str {
    match step {
        Step::Argument => "argument",
        Step::Result => "result",
        Step::Make => "make",
        Step::Unpack => "unpack",
        Step::There => "there",
        Step::Back => "back",
    }
}

const fn in_words(step: Step) -> &'static str {
    match step {
        Step::Argument => "Argument: a list that the caller has",
        Step::Result => "Result: a list that the callee makes of bytes, and returns",
        Step::Make => "Make: the list is made of bytes, without a call",
        Step::Unpack => "Unpack: bytes to keep are made of the list, without a call",
        Step::There => "There: from bytes or text in the caller to a look at them as bytes in the callee",
        Step::Back => "Back: from bytes in the callee to bytes or text that the caller may keep",
    }
}
