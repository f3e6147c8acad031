//! TLS by the host, through `wasi:tls`: it verifies the broker by its own settings and roots.

use alloc::string::String;

/// What of TLS a host can be told.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    server_name: Option<String>,
}

impl TlsOptions {
    /// The name to verify in place of the URL's host.
    #[must_use]
    pub fn server_name(self, name: String) -> Self {
        Self { server_name: Some(name) }
    }
}

#[cfg(target_arch = "wasm32")]
pub(super) use handshake::{Handshake, Secured};

#[cfg(target_arch = "wasm32")]
mod handshake {
    use super::TlsOptions;
    use crate::error::{TlsFailure, TransportError, TransportErrorKind};
    use crate::wit::wasi::io::poll::Pollable;
    use crate::wit::wasi::io::streams::{InputStream, OutputStream};
    use crate::wit::wasi::sockets::tcp::TcpSocket;
    use crate::wit::wasi::tls::types::{ClientConnection, ClientHandshake, FutureClientStreams};

    /// A handshake that the host does. In the order that these must be dropped in.
    pub(in super::super) struct Handshake {
        pub(in super::super) ready: Pollable,
        streams: FutureClientStreams,
        socket: TcpSocket,
    }

    /// What has come of one: streams within TLS. In the order that these must be dropped in.
    pub(in super::super) struct Secured {
        pub(in super::super) input: InputStream,
        pub(in super::super) output: OutputStream,
        pub(in super::super) tls: ClientConnection,
        pub(in super::super) socket: TcpSocket,
    }

    impl Handshake {
        /// Begins one with the broker at this host, over these streams of the socket.
        pub(in super::super) fn begin(
            host: &str,
            options: Option<&TlsOptions>,
            (input, output): (InputStream, OutputStream),
            socket: TcpSocket,
        ) -> Self {
            let name = options.and_then(|options| options.server_name.as_deref()).unwrap_or(host);
            let streams = ClientHandshake::finish(ClientHandshake::new(name, input, output));
            Self { ready: streams.subscribe(), streams, socket }
        }

        /// What has come of it; the handshake again while it is under way.
        ///
        /// # Errors
        /// [`TlsFailure::Other`], with the words of the host.
        pub(in super::super) fn end(self) -> Result<Result<Secured, Self>, TransportError> {
            let why = match self.streams.get() {
                None => return Ok(Err(self)),
                Some(Ok(Ok((tls, input, output)))) => {
                    return Ok(Ok(Secured { input, output, tls, socket: self.socket }));
                }
                Some(Ok(Err(error))) => error.to_debug_string(),
                // It was taken before.
                Some(Err(())) => "the host lost the handshake".into(),
            };
            Err(TransportErrorKind::Tls(TlsFailure::Other).because(&why))
        }
    }
}
