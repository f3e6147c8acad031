//! What is known of the topics, and how it looks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use mqtt_wasi::{Event, Message};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table};

/// So many topics are remembered. The messages of others are counted together.
const MOST_TOPICS: usize = 1_000;

const MOST_EVENTS: usize = 4;

/// So much of a payload is kept: no terminal is wider.
const MOST_CHARACTERS: usize = 500;

pub(crate) struct Board {
    title: String,
    topics: BTreeMap<String, Topic>,
    messages: u64,
    /// Messages of topics that are not remembered.
    others: u64,
    /// The last ones, the newest first.
    events: VecDeque<String>,
}

struct Topic {
    last: String,
    messages: u64,
    received: Instant,
}

impl Board {
    pub(crate) fn new(title: String) -> Self {
        Self { title, topics: BTreeMap::new(), messages: 0, others: 0, events: VecDeque::new() }
    }

    pub(crate) fn take(&mut self, message: &Message) {
        self.messages += 1;
        let last = String::from_utf8_lossy(&message.payload).chars().take(MOST_CHARACTERS).collect();
        if let Some(topic) = self.topics.get_mut(&message.topic) {
            *topic = Topic { last, messages: topic.messages + 1, received: Instant::now() };
        } else if self.topics.len() < MOST_TOPICS {
            self.topics.insert(message.topic.clone(), Topic { last, messages: 1, received: Instant::now() });
        } else {
            self.others += 1;
        }
    }

    pub(crate) fn note(&mut self, event: &Event) {
        self.events.truncate(MOST_EVENTS - 1);
        self.events.push_front(event.to_string());
    }

    pub(crate) fn draw(&self, frame: &mut Frame<'_>) {
        let events = self.events.len() as u16;
        let [head, table, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(events)])
                .areas(frame.area());
        let mut numbers = format!("  {} messages, {} topics", self.messages, self.topics.len());
        if self.others > 0 {
            numbers += &format!(", {} messages of others", self.others);
        }
        frame.render_widget(Line::from(vec![Span::raw(&self.title).bold(), Span::raw(numbers)]), head);
        frame.render_widget(self.table(), table);
        // Spans leave control characters out: what a message has of them does not reach the terminal.
        let lines: Vec<_> = self.events.iter().map(|event| Line::from(Span::raw(event))).collect();
        frame.render_widget(Paragraph::new(lines), foot);
    }

    fn table(&self) -> Table<'_> {
        let rows = self.topics.iter().map(|(name, topic)| {
            Row::new([
                Cell::from(Span::raw(name)),
                Cell::from(Span::raw(&topic.last)),
                Cell::from(topic.messages.to_string()),
                Cell::from(format!("{} s", topic.received.elapsed().as_secs())),
            ])
        });
        let widths = [Constraint::Fill(2), Constraint::Fill(3), Constraint::Length(8), Constraint::Length(6)];
        Table::new(rows, widths)
            .header(Row::new(["topic", "last value", "messages", "ago"]).style(Style::new().reversed()))
            .block(Block::new().borders(Borders::BOTTOM))
    }
}
