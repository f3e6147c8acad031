//! A node of a cluster is killed while clients of each form publish and receive at QoS 1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mqtt_wasi::{Publish, QoS, ReasonCode, Subscription};

use crate::interop::{Cluster, FORMS, Form};
use crate::subject::{Async, Component, Failure, Happening, Native, Settings, Subject};

/// How long each client waits between two messages.
const PACE: Duration = Duration::from_millis(150);

/// How long clients run before a node is killed, and after it.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(30);

/// How many clients connect and subscribe at the same time: RabbitMQ makes a queue on three nodes for each.
const AT_ONCE: usize = 20;

/// The bounds of the delays before an attempt to connect again.
const DELAYS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// How long a message may take that was on its way to a client of the node: RabbitMQ 4.3 keeps it for that client for a
/// minute, before it sends it to the client's next connection.
const LATE: Duration = Duration::from_secs(100);

/// What became of all clients together.
#[derive(Debug, Default)]
pub struct Failover {
    /// What each client has seen.
    pub clients: Vec<Seen>,
    /// Why clients could not be tried.
    pub failures: Vec<String>,
}

/// What a client has seen.
#[derive(Debug)]
pub struct Seen {
    /// Its form.
    pub form: Form,
    acknowledged: BTreeSet<u32>,
    received: BTreeSet<u32>,
    /// Acknowledged with the Reason Code that nobody has subscribed.
    nobody: u32,
    /// How often CONNACK told that there was a session, and that there was none.
    sessions: [u32; 2],
    /// When it was connected again, after the node was killed.
    back: Option<Duration>,
    /// How many messages came after the last was published, and how long it took until none was missing.
    late: u32,
    waited: Duration,
    /// Whether it was connected in the end.
    is_connected: bool,
}

/// What all clients go by.
struct Orders {
    is_over: AtomicBool,
    /// How many clients have subscribed, or cannot.
    ready: AtomicUsize,
    /// Until how many have, nobody publishes: on a busy machine those that publish would keep the others from subscribing.
    clients: usize,
}

impl Orders {
    fn has_begun(&self) -> bool {
        self.ready.load(Ordering::SeqCst) >= self.clients
    }
}

impl Failover {
    /// Connects so many clients, a third of each form, to the nodes in turn, and kills the first node.
    pub fn run(cluster: &mut Cluster, clients: usize) -> Self {
        let orders = Orders { is_over: AtomicBool::new(false), ready: AtomicUsize::new(0), clients };
        let start = Instant::now();
        let killed = thread::scope(|scope| {
            let running: Vec<_> = (0..clients)
                .map(|number| {
                    let form = FORMS[number % FORMS.len()];
                    // Each form has clients at each node.
                    let urls = cluster.urls_from(number / FORMS.len());
                    let orders = &orders;
                    scope.spawn(move || match form {
                        Form::Blocking => Seen::run::<Native>(form, number, &urls, orders, start),
                        Form::Async => Seen::run::<Async>(form, number, &urls, orders, start),
                        Form::Component => Seen::run::<Component>(form, number, &urls, orders, start),
                    })
                })
                .collect();
            while !orders.has_begun() {
                thread::sleep(Duration::from_millis(100));
            }
            thread::sleep(BEFORE);
            let killed = start.elapsed();
            cluster.nodes[0].kill();
            thread::sleep(AFTER);
            orders.is_over.store(true, Ordering::SeqCst);
            let mut failover = Self::default();
            for client in running {
                match client.join() {
                    Ok(Ok(seen)) => failover.clients.push(seen),
                    Ok(Err(failure)) => failover.failures.push(format!("{:?}: {}", failure.kind, failure.message)),
                    Err(_) => failover.failures.push("a client panics".into()),
                }
            }
            (failover, killed)
        });
        let (mut failover, killed) = killed;
        for seen in &mut failover.clients {
            // What was before is no matter of the node that was killed.
            seen.back = seen.back.and_then(|back| back.checked_sub(killed));
        }
        failover
    }

    /// Whether each client is connected, and nothing that was acknowledged is missing.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.lost() == 0 && self.clients.iter().all(|client| client.is_connected)
    }

    /// How many messages were acknowledged and did not come.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.clients.iter().map(|client| client.acknowledged.difference(&client.received).count()).sum()
    }

    /// As lines to print.
    #[must_use]
    pub fn report(&self) -> String {
        let sum = |count: fn(&Seen) -> usize| self.clients.iter().map(count).sum::<usize>();
        let mut report = format!(
            "{} clients, {} messages acknowledged, {} of them lost, {} more with No matching subscribers\n",
            self.clients.len(),
            sum(|client| client.acknowledged.len()),
            self.lost(),
            sum(|client| client.nobody as usize),
        );
        let mut back: Vec<Duration> = self.clients.iter().filter_map(|client| client.back).collect();
        back.sort_unstable();
        report += &format!(
            "{} clients connected again; Session Present {} times, and none {} times; {} not connected in the end\n",
            back.len(),
            sum(|client| client.sessions[0] as usize),
            sum(|client| client.sessions[1] as usize),
            self.clients.iter().filter(|client| !client.is_connected).count(),
        );
        if let Some(last) = back.last() {
            let at = |percent: usize| back[(back.len() - 1) * percent / 100].as_millis();
            let crowd = back.iter().enumerate().map(|(first, from)| {
                back[first..].iter().take_while(|time| **time < *from + Duration::from_millis(100)).count()
            });
            report += &format!(
                "back after the kill, in ms: first {}, half {}, 95 % {}, last {}; at most {} within 100 ms\n",
                at(0),
                at(50),
                at(95),
                last.as_millis(),
                crowd.max().unwrap_or(0),
            );
        }
        let waited = self.clients.iter().map(|client| client.waited).max().unwrap_or_default();
        report += &format!("{} messages came up to {waited:.1?} after the end\n", sum(|client| client.late as usize));
        for form in FORMS {
            let clients: Vec<_> = self.clients.iter().filter(|client| client.form == form).collect();
            let lost: usize =
                clients.iter().map(|client| client.acknowledged.difference(&client.received).count()).sum();
            report += &format!("  {}: {} clients, {lost} messages lost\n", form.name(), clients.len());
        }
        let mut alike = BTreeMap::new();
        self.failures.iter().for_each(|failure| *alike.entry(failure).or_insert(0) += 1);
        alike.iter().for_each(|(failure, count)| report += &format!("{count} clients could not be tried: {failure}\n"));
        report
    }
}

impl Seen {
    fn run<S: Subject>(
        form: Form,
        number: usize,
        urls: &[String],
        orders: &Orders,
        start: Instant,
    ) -> Result<Self, Failure> {
        let settings = Settings {
            client_id: Box::leak(format!("scale-{number}").into_boxed_str()),
            clean_start: Some(false),
            session_expiry_interval: Some(600),
            reconnect: Some(DELAYS),
            connect_timeout: Some(Duration::from_secs(10)),
            response_timeout: Some(Duration::from_secs(60)),
            keep_alive: Some(5),
            fallbacks: urls[1..].to_vec(),
            first_connect: Some(Duration::from_secs(60)),
            ..Settings::default()
        };
        let topic = format!("scale/{number}");
        while number >= orders.ready.load(Ordering::SeqCst) + AT_ONCE {
            thread::sleep(Duration::from_millis(50));
        }
        let subscribed = S::connect(&urls[0], &settings).and_then(|mut client| {
            client.subscribe_as(&[Subscription::new(&topic, QoS::AtLeastOnce)], None)?;
            Ok(client)
        });
        orders.ready.fetch_add(1, Ordering::SeqCst);
        let mut client = subscribed?;
        let mut seen = Self {
            form,
            acknowledged: BTreeSet::new(),
            received: BTreeSet::new(),
            nobody: 0,
            sessions: [0; 2],
            back: None,
            late: 0,
            waited: Duration::ZERO,
            is_connected: false,
        };
        while !orders.has_begun() {
            seen.take_message(&mut client, Duration::from_millis(200));
            seen.take_events(&mut client, start);
        }
        for number in 0_u32.. {
            if orders.is_over.load(Ordering::SeqCst) {
                break;
            }
            let due = Instant::now() + PACE;
            match client.publish(&Publish::new(&topic, &number.to_be_bytes()).qos(QoS::AtLeastOnce)) {
                Ok(ReasonCode::NoMatchingSubscribers) => seen.nobody += 1,
                Ok(_) => drop(seen.acknowledged.insert(number)),
                // It was not acknowledged, so it may be lost.
                Err(_) => {}
            }
            seen.take_events(&mut client, start);
            loop {
                let left = due.saturating_duration_since(Instant::now());
                seen.take_message(&mut client, left);
                seen.take_events(&mut client, start);
                if left.is_zero() {
                    break;
                }
            }
        }
        let end = Instant::now();
        while end.elapsed() < LATE && !seen.acknowledged.is_subset(&seen.received) {
            seen.late += u32::from(seen.take_message(&mut client, Duration::from_millis(200)));
        }
        seen.waited = end.elapsed();
        seen.is_connected = client.is_connected();
        // What follows is of no interest.
        let _ = client.disconnect();
        Ok(seen)
    }

    fn take_message<S: Subject>(&mut self, client: &mut S, timeout: Duration) -> bool {
        match client.receive(timeout) {
            Ok(Some(message)) => {
                self.received.extend(message.payload.try_into().map(u32::from_be_bytes));
                true
            }
            Ok(None) => false,
            Err(_) => {
                // It is told when there is a connection.
                thread::sleep(timeout.min(Duration::from_millis(20)));
                false
            }
        }
    }

    fn take_events<S: Subject>(&mut self, client: &mut S, start: Instant) {
        while let Ok(Some(event)) = client.next_event(Duration::ZERO) {
            if let Happening::Reconnected { session_present } = event {
                self.sessions[usize::from(!session_present)] += 1;
                self.back = Some(start.elapsed());
            }
        }
    }
}
