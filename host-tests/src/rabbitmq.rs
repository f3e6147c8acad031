//! A broker for two protocols: RabbitMQ, where MQTT clients and AMQP 0.9.1 clients reach each other.

use crate::interop::Server;

/// The version that the tests are about: the oldest that Debian has of those that speak MQTT 5.
const NAME: &str = "rabbitmq-4.0";

/// A RabbitMQ node, until it is dropped.
pub struct RabbitMq(Server);

impl RabbitMq {
    /// Starts it on loopback, at free ports. Where it is not installed, says so and returns none.
    ///
    /// # Panics
    /// When it is installed but does not start; when it is not installed and the variable `CI` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        Server::start(NAME).map(Self)
    }

    /// Its URL for MQTT clients.
    #[must_use]
    pub fn mqtt_url(&self) -> String {
        self.0.url()
    }

    /// Its URL for MQTT clients over WebSocket.
    #[must_use]
    pub fn websocket_url(&self) -> String {
        self.0.websocket_url().expect("it has the plugin for it")
    }

    /// Its URL for AMQP clients.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.0.other_port())
    }
}
