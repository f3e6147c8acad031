//! The terminal of a component, which has standard output and nothing more: no keys, and no size but what it is told.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::Modifier;
use ratatui::{Frame, Terminal};

pub(crate) struct Screen(Terminal<Ansi>);

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
        let size = Size::new(number("COLUMNS", 80), number("LINES", 24));
        let mut terminal = Terminal::new(Ansi { size, bytes: String::new() })?;
        terminal.clear()?;
        Ok(Self(terminal))
    }

    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw)?;
        Ok(())
    }

    /// There are no keys. Ctrl-C ends the host, and the component with it.
    pub(crate) async fn quit(&self) {
        std::future::pending().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let bottom = self.0.backend().size.height.saturating_sub(1);
        let backend = self.0.backend_mut();
        // What comes next stands below. There is nobody to tell of a failure.
        let _ = backend.set_cursor_position((0, bottom)).and_then(|()| backend.show_cursor());
        backend.bytes.push('\n');
        let _ = backend.flush();
    }
}

/// Draws by the escape sequences that every terminal knows.
struct Ansi {
    size: Size,
    /// What is not written yet: a frame is written at once.
    bytes: String,
}

impl Ansi {
    fn put(&mut self, sequence: &str) -> io::Result<()> {
        self.bytes.push_str(sequence);
        Ok(())
    }
}

impl Backend for Ansi {
    type Error = io::Error;

    /// The board is bold or reversed here and there, and has no colours.
    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> io::Result<()> {
        let mut next = None;
        let mut modifier = Modifier::empty();
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                self.set_cursor_position((x, y))?;
            }
            if cell.modifier != modifier {
                modifier = cell.modifier;
                self.put("\x1b[0m")?;
                for (wanted, sequence) in [(Modifier::BOLD, "\x1b[1m"), (Modifier::REVERSED, "\x1b[7m")] {
                    if modifier.contains(wanted) {
                        self.put(sequence)?;
                    }
                }
            }
            self.put(cell.symbol())?;
            next = Some((x + 1, y));
        }
        self.put("\x1b[0m")
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.put("\x1b[?25l")
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.put("\x1b[?25h")
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let Position { x, y } = position.into();
        // A string takes everything.
        let _ = write!(self.bytes, "\x1b[{};{}H", y + 1, x + 1);
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.put("\x1b[2J")
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.put(match region {
            ClearType::All => "\x1b[2J",
            ClearType::AfterCursor => "\x1b[J",
            ClearType::BeforeCursor => "\x1b[1J",
            ClearType::CurrentLine => "\x1b[2K",
            ClearType::UntilNewLine => "\x1b[K",
        })
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(self.bytes.as_bytes())?;
        self.bytes.clear();
        out.flush()
    }
}
