//! What a session counts.

use core::time::Duration;

/// What a client has done so far, over all its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Packets that were sent, or wait to be.
    pub packets_sent: u64,
    /// Packets that were received.
    pub packets_received: u64,
    /// Bytes that were sent.
    pub bytes_sent: u64,
    /// Bytes that were received.
    pub bytes_received: u64,
    /// Messages at QoS 1 and 2 that are in flight to the broker.
    pub in_flight: usize,
    /// Packets that were sent again over a new connection: PUBLISH at QoS 1 and 2, and PUBREL.
    pub retransmitted: u64,
    /// Connections that were made after the first.
    pub reconnects: u64,
    /// How long the answer to the last PINGREQ took; `None` before the first.
    pub ping_round_trip: Option<Duration>,
    /// Messages and Topic Filters that the broker refused.
    pub refused: u64,
    /// Messages that could not be sent over a new connection, since the broker takes no such message any more. An event
    /// told of each.
    pub dropped: u64,
    /// Requests that wait for their replies.
    pub pending_requests: usize,
    /// Replies that were dropped since their request had its reply, had run out of time or was given up.
    pub late_replies: u64,
    /// Messages to the Response Topic that were dropped since they answer no request of this session.
    pub unmatched_replies: u64,
}

impl Stats {
    /// Each by its name, for programs that show whatever there is. `ping-round-trip-us` is in microseconds.
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
            ("late-replies", Some(self.late_replies)),
            ("unmatched-replies", Some(self.unmatched_replies)),
        ]
        .into_iter()
    }
}
