//! What a guest writes: kept, and shown as it happens where somebody watches.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// One of a guest's output streams.
#[derive(Clone)]
pub(crate) struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    show: fn(&[u8]) -> io::Result<()>,
}

impl Capture {
    pub(crate) fn hidden() -> Self {
        Self::new(|_| Ok(()))
    }

    pub(crate) fn on_stdout() -> Self {
        Self::new(|bytes| io::stdout().write_all(bytes))
    }

    pub(crate) fn on_stderr() -> Self {
        Self::new(|bytes| io::stderr().write_all(bytes))
    }

    fn new(show: fn(&[u8]) -> io::Result<()>) -> Self {
        Self { kept: Arc::default(), show }
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Capture {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (self.show)(bytes)?;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
