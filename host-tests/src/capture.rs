//! What a guest writes: kept, and shown as it happens where somebody watches.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Shows what was written.
type Show = dyn Fn(&[u8]) -> io::Result<()> + Send + Sync;

/// One of a guest's output streams.
#[derive(Clone)]
pub(crate) struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    show: Arc<Show>,
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

    /// Shown to a test while the guest runs.
    pub(crate) fn watched(watch: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self::new(move |bytes| {
            watch(bytes);
            Ok(())
        })
    }

    fn new(show: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { kept: Arc::default(), show: Arc::new(show) }
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The same, to the byte.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
