//! `mqtt bench`: how fast messages come through a broker.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use mqtt_wasi::{AsyncClient, AsyncMessages, Error, Options, Publish, QoS, Subscription};
use serde_json::json;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{interval, sleep, timeout};

use crate::args::{self, Way};
use crate::connection::{self, Target};
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::notes::Notes;
use crate::progress::{self, Progress, QUANTILES, grouped};
use crate::properties::{self, Scope};
use crate::subscribe::{GOODBYE, after};

/// What a payload begins with that carries the time.
const MARK: &[u8; 8] = b"mqtt-ts:";
const STAMP: usize = 16;

/// How many messages are put into the buffer before others have their turn.
const AT_ONCE: u64 = 256;

/// How long to wait for messages that do not come, once all are published.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &args::Bench, notes: &Notes) -> Result<(), Failure> {
    let given = properties::parse(&args.connection.properties, &[Scope::Connect, Scope::Will])?;
    let Target { url, options, topic } = connection::target(&args.connection, &given)?;
    let mut topic = topic.unwrap_or_else(|| args.topic.clone());
    if args.way == Way::Both {
        // Nobody else's messages.
        let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
        topic = format!("{topic}/{random:016x}");
    }
    let job = Arc::new(Job {
        topic,
        qos: args.qos,
        count: args.count,
        size: args.size as usize,
        rate: args.rate,
        in_flight: args.connection.max_inflight.into(),
        clock: Clock::new(),
    });
    let counts = Arc::new(Counts::default());
    let progress = Progress::new(args.count, args.connection.quiet);
    let ended = crate::block_on(async {
        let mut interrupts = Interrupts::new()?;
        let mut bench = Running { args, notes, job: &job, counts: &counts, clients: Vec::new(), tasks: JoinSet::new() };
        let ended = tokio::select! {
            ended = bench.measure(&url, options) => ended,
            () = show(&progress, &counts, args.way) => Ok(()),
            () = after(args.timeout) => Err(Failure::TimedOut),
            signal = interrupts.next() => Err(Failure::Interrupted(signal)),
        };
        bench.tasks.abort_all();
        for client in bench.clients {
            // What is lost by now is lost.
            let _ = timeout(GOODBYE, client.disconnect()).await;
        }
        ended
    });
    progress.clear();
    let mut out = io::stdout().lock();
    let summary = if args.json { counts.json(&job, args.way) } else { counts.summary(&job, args.way) };
    writeln!(out, "{summary}")?;
    out.flush()?;
    ended
}

struct Running<'a> {
    args: &'a args::Bench,
    notes: &'a Notes,
    job: &'a Arc<Job>,
    counts: &'a Arc<Counts>,
    clients: Vec<AsyncClient>,
    tasks: JoinSet<Result<(), Error>>,
}

impl Running<'_> {
    async fn measure(&mut self, url: &str, options: Options) -> Result<(), Failure> {
        let way = self.args.way;
        if way != Way::Publish {
            let mut options = options.clone();
            if let (Way::Both, Some(id)) = (way, &self.args.connection.id) {
                // Two connections cannot have one identifier.
                options = options.client_id(format!("{id}-receiver"));
            }
            let client = AsyncClient::connect(url, options).await?;
            let messages = client.messages();
            let granted = client.subscribe(&[Subscription::new(&self.job.topic, self.job.qos)]).await?;
            if granted.iter().any(|granted| *granted < self.job.qos) {
                self.notes
                    .problem(format_args!("note: the broker delivers at a lower QoS than {}", self.job.qos as u8));
            }
            self.tasks.spawn(receive(Arc::clone(self.job), Arc::clone(self.counts), messages));
            self.clients.push(client);
        }
        if way != Way::Receive {
            let client = AsyncClient::connect(url, options).await?;
            self.tasks.spawn(publish(Arc::clone(self.job), Arc::clone(self.counts), client.clone()));
            self.clients.push(client);
        }
        all(&mut self.tasks, way, self.counts).await
    }
}

/// What is to be done.
struct Job {
    topic: String,
    qos: QoS,
    count: u64,
    size: usize,
    rate: Option<u32>,
    in_flight: u64,
    clock: Clock,
}

/// A clock that never goes back, and that other machines have too, more or less.
struct Clock {
    start: Instant,
    since_epoch: Duration,
}

impl Clock {
    fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), since_epoch }
    }

    fn nanos(&self) -> u64 {
        (self.since_epoch + self.start.elapsed()).as_nanos() as u64
    }
}

impl Job {
    /// A payload with the time in it, if that fits.
    fn payload(&self) -> Vec<u8> {
        vec![b'.'; self.size]
    }

    fn stamp(&self, payload: &mut [u8]) {
        if let Some(stamp) = payload.first_chunk_mut::<STAMP>() {
            stamp[..MARK.len()].copy_from_slice(MARK);
            stamp[MARK.len()..].copy_from_slice(&self.clock.nanos().to_be_bytes());
        }
    }

    /// How long ago a payload was stamped, by the clocks of both machines.
    fn age(&self, payload: &[u8]) -> Option<Duration> {
        let stamp = payload.first_chunk::<STAMP>()?.strip_prefix(MARK)?;
        let sent = u64::from_be_bytes(stamp.try_into().ok()?);
        self.clock.nanos().checked_sub(sent).map(Duration::from_nanos)
    }

    /// Waits until it is the turn of a message, if there is a rate to keep.
    async fn pace(&self, index: u64) {
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(index as f64 / f64::from(rate));
            sleep(due.saturating_sub(self.clock.start.elapsed())).await;
        }
    }
}

/// What was done so far.
struct Counts {
    /// The messages that somebody publishes or has published.
    begun: AtomicU64,
    published: AtomicU64,
    received: AtomicU64,
    times: Mutex<Times>,
}

impl Default for Counts {
    fn default() -> Self {
        let counts = || AtomicU64::new(0);
        Self { begun: counts(), published: counts(), received: counts(), times: Mutex::new(Times::default()) }
    }
}

struct Times {
    /// From publishing to the broker's acknowledgement.
    acknowledged: Histogram<u64>,
    /// From publishing to receiving.
    received: Histogram<u64>,
    publishing: Span,
    receiving: Span,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            acknowledged: progress::times(),
            received: progress::times(),
            publishing: Span::default(),
            receiving: Span::default(),
        }
    }
}

/// From the first message to the last.
#[derive(Debug, Clone, Copy, Default)]
struct Span(Option<(Instant, Instant)>);

impl Span {
    fn extend(&mut self, from: Instant) {
        let now = Instant::now();
        self.0 = Some((self.0.map_or(from, |(start, _)| start), now));
    }

    fn seconds(self) -> f64 {
        self.0.map_or(0.0, |(start, end)| (end - start).as_secs_f64())
    }
}

impl Counts {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, way: Way) -> u64 {
        let counter = if way == Way::Publish { &self.published } else { &self.received };
        counter.load(Ordering::Relaxed)
    }

    fn summary(&self, job: &Job, way: Way) -> String {
        let times = self.times();
        let mut lines = vec![format!(
            "{} messages of {} bytes at QoS {} to {}",
            grouped(job.count),
            grouped(job.size as u64),
            job.qos as u8,
            job.topic
        )];
        let rate = |what: &str, counter: &AtomicU64, span: Span| {
            let count = counter.load(Ordering::Relaxed);
            let seconds = span.seconds();
            let per_second = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
            let megabytes = per_second * job.size as f64 / 1e6;
            format!(
                "{what:<10} {} in {seconds:.2} s: {} messages/s, {megabytes:.1} MB/s of payload",
                grouped(count),
                grouped(per_second as u64)
            )
        };
        if way != Way::Receive {
            lines.push(rate("published", &self.published, times.publishing));
        }
        if way != Way::Publish {
            lines.push(rate("received", &self.received, times.receiving));
        }
        for (what, distribution) in
            [("from publish to acknowledgement", &times.acknowledged), ("from publish to receive", &times.received)]
        {
            if !distribution.is_empty() {
                let by = if way == Way::Receive { ", by the clocks of both machines" } else { "" };
                lines.push(format!("{what}{by}:\n{}", progress::histogram(distribution)));
            }
        }
        lines.join("\n")
    }

    fn json(&self, job: &Job, way: Way) -> String {
        let times = self.times();
        let side = |counter: &AtomicU64, span: Span, distribution: &Histogram<u64>| {
            let mut micros = serde_json::Map::new();
            for (name, quantile) in QUANTILES {
                micros.insert(name.into(), distribution.value_at_quantile(quantile).into());
            }
            micros.insert("max".into(), distribution.max().into());
            let delay = (!distribution.is_empty()).then_some(micros);
            json!({ "messages": counter.load(Ordering::Relaxed), "seconds": span.seconds(), "delay_us": delay })
        };
        let publish = (way != Way::Receive).then(|| side(&self.published, times.publishing, &times.acknowledged));
        let receive = (way != Way::Publish).then(|| side(&self.received, times.receiving, &times.received));
        let qos = job.qos as u8;
        json!({ "qos": qos, "size": job.size, "count": job.count, "publish": publish, "receive": receive }).to_string()
    }
}

/// Waits for all tasks, or for what keeps one from its end. Does not wait long for messages that do not come.
async fn all(tasks: &mut JoinSet<Result<(), Error>>, way: Way, counts: &Counts) -> Result<(), Failure> {
    while let Some(ended) = tasks.join_next().await {
        // A task that panicked has printed why.
        ended.map_err(|_| Failure::Told(1))??;
        if way == Way::Both && tasks.len() == 1 {
            let mut before = counts.done(way);
            loop {
                match timeout(PATIENCE, tasks.join_next()).await {
                    Ok(Some(ended)) => {
                        ended.map_err(|_| Failure::Told(1))??;
                        break;
                    }
                    Ok(None) => break,
                    Err(_) if counts.done(way) == before => return Err(Failure::TimedOut),
                    Err(_) => before = counts.done(way),
                }
            }
        }
    }
    Ok(())
}

async fn show(progress: &Progress, counts: &Counts, way: Way) {
    let mut ticks = interval(progress::INTERVAL);
    loop {
        ticks.tick().await;
        progress.show(counts.done(way));
    }
}

async fn publish(job: Arc<Job>, counts: Arc<Counts>, client: AsyncClient) -> Result<(), Error> {
    if job.qos != QoS::AtMostOnce {
        let mut workers = JoinSet::new();
        for _ in 0..job.in_flight.min(job.count) {
            workers.spawn(work(Arc::clone(&job), Arc::clone(&counts), client.clone()));
        }
        while let Some(ended) = workers.join_next().await {
            ended.map_err(|_| Error::Stopped)??;
        }
        return Ok(());
    }
    let start = Instant::now();
    let mut payload = job.payload();
    for index in 0..job.count {
        job.pace(index).await;
        job.stamp(&mut payload);
        client.enqueue(&Publish::new(&job.topic, &payload)).await?;
        counts.published.store(index + 1, Ordering::Relaxed);
        if (index + 1) % AT_ONCE == 0 {
            yield_now().await;
        }
    }
    client.flush().await?;
    counts.times().publishing.extend(start);
    Ok(())
}

/// One of those that each have a message in flight.
async fn work(job: Arc<Job>, counts: Arc<Counts>, client: AsyncClient) -> Result<(), Error> {
    let mut payload = job.payload();
    loop {
        let index = counts.begun.fetch_add(1, Ordering::Relaxed);
        if index >= job.count {
            return Ok(());
        }
        job.pace(index).await;
        let start = Instant::now();
        job.stamp(&mut payload);
        client.publish(&Publish::new(&job.topic, &payload).qos(job.qos)).await?;
        counts.published.fetch_add(1, Ordering::Relaxed);
        let mut times = counts.times();
        times.acknowledged.saturating_record(start.elapsed().as_micros() as u64);
        times.publishing.extend(start);
    }
}

async fn receive(job: Arc<Job>, counts: Arc<Counts>, mut messages: AsyncMessages) -> Result<(), Error> {
    for received in 1..=job.count {
        let message = messages.receive().await?;
        counts.received.store(received, Ordering::Relaxed);
        let mut times = counts.times();
        if let Some(age) = job.age(&message.payload) {
            times.received.saturating_record(age.as_micros() as u64);
        }
        times.receiving.extend(Instant::now());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(size: usize) -> Job {
        let clock = Clock::new();
        Job { topic: "t".into(), qos: QoS::AtMostOnce, count: 1, size, rate: None, in_flight: 1, clock }
    }

    #[test]
    fn payload_carries_the_time_if_it_fits() {
        for (size, fits) in [(0, false), (15, false), (16, true), (100, true)] {
            let job = job(size);
            let mut payload = job.payload();
            job.stamp(&mut payload);
            assert_eq!(payload.len(), size);
            assert_eq!(job.age(&payload).is_some(), fits);
        }
        assert_eq!(job(16).age(b"somebody else's message"), None);
    }
}
