//! Ctrl-C and SIGTERM, as something to wait for. A component gets no signals: its host ends it.

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::{Interrupts, on_interrupt};
#[cfg(target_family = "wasm")]
pub(crate) use wasm::Interrupts;

#[cfg(not(target_family = "wasm"))]
mod native {
    use std::{io, thread};

    #[cfg(unix)]
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use crate::failure::Failure;

    /// From here on, signals end nothing by themselves.
    #[derive(Debug)]
    pub(crate) struct Interrupts {
        #[cfg(unix)]
        interrupt: Signal,
        #[cfg(unix)]
        terminate: Signal,
    }

    impl Interrupts {
        pub(crate) fn new() -> Result<Self, Failure> {
            Self::listen().map_err(Failure::here("listening to signals"))
        }

        #[cfg(unix)]
        fn listen() -> io::Result<Self> {
            Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
        }

        #[cfg(not(unix))]
        fn listen() -> io::Result<Self> {
            Ok(Self {})
        }

        /// The number of the next signal.
        #[cfg(unix)]
        pub(crate) async fn next(&mut self) -> u8 {
            tokio::select! {
                _ = self.interrupt.recv() => 2,
                _ = self.terminate.recv() => 15,
            }
        }

        /// The number that Ctrl-C has elsewhere.
        #[cfg(not(unix))]
        pub(crate) async fn next(&mut self) -> u8 {
            match tokio::signal::ctrl_c().await {
                Ok(()) => 2,
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Calls `tell` with the number of the first signal, on a thread of its own. The second one ends the program.
    pub(crate) fn on_interrupt(tell: impl FnOnce(u8) + Send + 'static) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::here("listening to signals"))?;
        let mut interrupts = {
            let _context = runtime.enter();
            Interrupts::new()?
        };
        thread::spawn(move || {
            runtime.block_on(async {
                let first = interrupts.next().await;
                // What it tells may wait for somebody who does not listen any more.
                thread::spawn(move || tell(first));
                let second = interrupts.next().await;
                std::process::exit(128 + i32::from(second));
            });
        });
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use crate::failure::Failure;

    /// There are none.
    #[derive(Debug)]
    pub(crate) struct Interrupts;

    impl Interrupts {
        #[expect(clippy::unnecessary_wraps, reason = "as where there are signals")]
        pub(crate) const fn new() -> Result<Self, Failure> {
            Ok(Self)
        }

        pub(crate) async fn next(&mut self) -> u8 {
            std::future::pending().await
        }
    }
}
