//! What a session counts.

use core::time::Duration;

/// Counters over all connections of a client.
///
#[doc = memory_example!()]
/// use mqtt_wasi::{Client, Options, Publish, QoS};
///
/// let mut client = Client::connect_over(network, Options::new())?;
/// client.publish(&Publish::new("sensors/kitchen", "21.5").qos(QoS::AtLeastOnce))?;
/// let stats = client.stats();
/// assert_eq!((stats.packets_sent, stats.packets_received), (2, 2));
/// assert_eq!((stats.in_flight, stats.refused, stats.reconnects), (0, 0, 0));
/// # Ok::<(), mqtt_wasi::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Packets that were sent, or wait to be sent.
    pub packets_sent: u64,
    /// Packets that were received.
    pub packets_received: u64,
    /// Bytes that were sent.
    pub bytes_sent: u64,
    /// Bytes that were received.
    pub bytes_received: u64,
    /// QoS 1 and 2 messages that are in flight to the broker now.
    pub in_flight: usize,
    /// Packets that were sent again over a new connection: PUBLISH at QoS 1 and 2, and PUBREL.
    pub retransmitted: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// How long the broker took to answer the last PINGREQ. `None` before the first answer.
    pub ping_round_trip: Option<Duration>,
    /// Messages and Topic Filters that the broker refused.
    pub refused: u64,
    /// Messages that could not be sent over a new connection, because its broker does not accept them. An event tells
    /// of each.
    pub dropped: u64,
    /// Messages from the broker that were skipped, since the client has to refuse them: see
    /// [`Options::skip_refused_messages`](crate::Options::skip_refused_messages). An event tells of them.
    pub skipped: u64,
    /// Attempts to connect that failed.
    pub failed_attempts: u64,
    /// Why the last connection ended, or the last attempt failed: the [name](crate::Error::name) of the error. `None`
    /// while there is a connection.
    pub last_failure: Option<&'static str>,
    /// Requests that wait for their replies now.
    pub pending_requests: usize,
    /// Replies to requests that were over: they had a reply, their time had run out, or they were given up. Such
    /// replies are dropped.
    pub late_replies: u64,
    /// Messages to the Response Topic that answer no request of this session. They are dropped.
    pub unmatched_replies: u64,
}

impl Stats {
    /// All counters by name, for programs that show whatever there is. `None`: there is no value yet.
    /// `ping-round-trip-us` is in microseconds.
    ///
    /// ```
    /// use mqtt_wasi::session::Session;
    /// use mqtt_wasi::Options;
    ///
    /// let stats = Session::new(Options::new()).stats();
    /// assert!(stats.named().any(|counter| counter == ("packets-sent", Some(0))));
    /// assert!(stats.named().any(|counter| counter == ("ping-round-trip-us", None)));
    /// ```
    pub fn named(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> + use<> {
        let ping = self.ping_round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        [
            ("packets-sent", Some(self.packets_sent)),
            ("packets-received", Some(self.packets_received)),
            ("bytes-sent", Some(self.bytes_sent)),
            ("bytes-received", Some(self.bytes_received)),
            ("in-flight", Some(self.in_flight as u64)),
            ("pending-requests", Some(self.pending_requests as u64)),
            ("retransmitted", Some(self.retransmitted)),
            ("reconnects", Some(self.reconnects)),
            ("ping-round-trip-us", ping),
            ("refused", Some(self.refused)),
            ("dropped", Some(self.dropped)),
            ("skipped", Some(self.skipped)),
            ("failed-attempts", Some(self.failed_attempts)),
            ("late-replies", Some(self.late_replies)),
            ("unmatched-replies", Some(self.unmatched_replies)),
        ]
        .into_iter()
    }
}
