//! The terminal of a native program, and its keys.

use std::io::{self, IsTerminal as _};
use std::thread;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc::{self, Receiver};

pub(crate) struct Screen {
    terminal: DefaultTerminal,
    keys: Receiver<KeyEvent>,
}

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::other("standard output is no terminal"));
        }
        let terminal = ratatui::try_init()?;
        let (sender, keys) = mpsc::channel(16);
        // Keys are read on a thread, since that blocks. It ends with the program.
        thread::spawn(move || {
            while let Ok(event) = event::read() {
                if let Event::Key(key) = event
                    && sender.blocking_send(key).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { terminal, keys })
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }

    /// Waits for a key that ends the program.
    pub(crate) async fn quit(&mut self) {
        while let Some(KeyEvent { code, modifiers, .. }) = self.keys.recv().await {
            let is_ctrl_c = code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL);
            if is_ctrl_c || matches!(code, KeyCode::Char('q') | KeyCode::Esc) {
                return;
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
