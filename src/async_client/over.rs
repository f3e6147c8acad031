//! The async client over byte streams that its user has connected.

use alloc::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::driver::Driver;
use super::runtime::{Connection, spawn};
use super::shared::Shared;
use super::{AsyncClient, Handle};
use crate::engine::{Connected, Engine, Options};
use crate::error::Error;
use crate::transport::Layers;

impl AsyncClient {
    /// Connects to the broker at the other end of a byte stream: a Unix socket, a serial line, a TLS stream of another
    /// library, or one in memory. It must be connected; TLS and WebSocket of the options are not put over it. Such a
    /// client does not connect again by itself: see [`AsyncClient::reconnect_over`].
    ///
    /// # Errors
    /// [`CallError::InvalidOptions`](crate::CallError::InvalidOptions), [`Error::ConnectionRefused`],
    /// [`Error::ConnectTimeout`], [`Error::Authentication`], and any error that [ends the connection](Error::is_fatal).
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without time.
    ///
    #[doc = async_example!()]
    /// # let address = broker.address();
    /// use mqtt_wasi::{AsyncClient, Options};
    ///
    /// let stream = tokio::net::TcpStream::connect(&address).await?; // or anything else
    /// let client = AsyncClient::connect_over(stream, Options::new().client_id("thermometer-7")).await?;
    /// assert!(client.is_connected());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect_over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        options: Options,
    ) -> Result<Self, Error> {
        let mut engine = Engine::new(None, options, 0)?;
        engine.deliver_to_listeners();
        let shared = Arc::new(Shared::new(engine));
        spawn(Driver::new(Arc::clone(&shared), Layers::none()));
        let client = Self { handle: Arc::new(Handle { shared }) };
        client.reconnect_over(stream).await?;
        Ok(client)
    }

    /// Continues the session over a new stream. What was in flight is sent again, in order, also if the broker has lost
    /// the session. Closes the stream before it. Returns whether the broker still had the session.
    ///
    /// # Errors
    /// As [`AsyncClient::connect_over`]. After an error, `reconnect_over` may be called again.
    ///
    #[doc = async_example!()]
    /// # let address = broker.address();
    /// use mqtt_wasi::{AsyncClient, Options};
    /// use tokio::net::TcpStream;
    ///
    /// let options = Options::new().client_id("thermometer-7").session_expiry_interval(60);
    /// let client = AsyncClient::connect_over(TcpStream::connect(&address).await?, options).await?;
    /// # broker.cut();
    /// // The connection is lost.
    /// assert!(client.reconnect_over(TcpStream::connect(&address).await?).await?, "the broker still had the session");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reconnect_over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<bool, Error> {
        self.handle.shared.attach(Connection::over(stream));
        self.handle.shared.run(Connected).await
    }
}
