//! A sensor that loses no reading: what it cannot send waits in a file, over lost connections and restarts. Others know
//! when it is there, by a birth and a death message as in Sparkplug.

mod store;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqtt_wasi::{
    Client, ConnectChanges, Disconnect, ErrorKind, Event, Options, Publish, QoS, ReasonCode, Reconnect, Snapshot,
    Subscription, WillMessage,
};
use serde_json::json;

use crate::store::{Reading, Store};

const NAME: &str = "cellar";
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the last readings may take to arrive before the program ends.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "mqtt://localhost".into());
    let file = args.next().unwrap_or_else(|| "sensor.store".into());
    let readings = args.next().map_or(Ok(u64::MAX), |number| number.parse())?;

    let mut sensor = Sensor::new(Store::open(file.into())?);
    let ended = sensor.work(&url, readings);
    // Whatever ended it, the next start continues from here.
    sensor.save()?;
    println!("{} readings wait in the file", sensor.store.readings.len());
    ended
}

struct Sensor {
    store: Store,
    client: Option<Client>,
    /// Sparkplug's `bdSeq`: pairs a birth with the death that the broker has for it. A new one for each connection.
    birth: Arc<AtomicU8>,
    /// Counts the messages since the birth, so that others see whether one is missing.
    sequence: u8,
}

impl Sensor {
    fn new(store: Store) -> Self {
        let birth = Arc::new(AtomicU8::new(store.birth));
        Self { store, client: None, birth, sequence: 0 }
    }

    fn work(&mut self, url: &str, readings: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..readings {
            let next = Instant::now() + INTERVAL;
            self.store.push(measure());
            self.connect(url)?;
            self.hand_over()?;
            // Before it waits: a crash from here on repeats readings, and loses none.
            self.save()?;
            self.obey_until(next)?;
        }
        self.leave()
    }

    /// Makes the first connection. That there is none yet is no reason to stop measuring.
    fn connect(&mut self, url: &str) -> Result<(), Box<dyn Error>> {
        if self.client.is_some() {
            return Ok(());
        }
        let birth = Arc::clone(&self.birth);
        let mut options = Options::new()
            .client_id(format!("sensor-{NAME}"))
            .session_expiry_interval(86_400)
            .connect_timeout(INTERVAL)
            .reconnect(Reconnect { longest_delay: 2 * INTERVAL, ..Reconnect::default() })
            // Asked before each attempt: the will has to have the number of the birth that follows.
            .before_connect(move |_| {
                let number = birth.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                let mut death = WillMessage::new(topic("death"), json!({ "bdSeq": number }).to_string());
                death.qos = QoS::AtLeastOnce;
                ConnectChanges { will: Some(Some(death)), ..ConnectChanges::default() }
            });
        if !self.store.session.is_empty() {
            options = options.resume(Snapshot::from_bytes(&self.store.session)?);
        }
        match Client::connect(url, options) {
            Ok(mut client) => {
                client.subscribe(&[Subscription::new(&topic("command"), QoS::AtLeastOnce)])?;
                println!("connected to {url}");
                self.client = Some(client);
                self.be_born()
            }
            Err(error) if error.kind() == ErrorKind::ConnectionOver => {
                eprintln!("no connection yet: {error}");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The first message of each connection. Those who missed it ask for another. It has QoS 0, as in Sparkplug: an old
    /// birth must not come again over a later connection.
    fn be_born(&mut self) -> Result<(), Box<dyn Error>> {
        self.sequence = 0;
        let birth = json!({ "bdSeq": self.birth.load(Ordering::Relaxed), "seq": 0, "metrics": ["celsius"] });
        let Some(client) = self.client.as_mut().filter(|client| client.is_connected()) else { return Ok(()) };
        match client.publish(&Publish::new(&topic("birth"), &birth.to_string())) {
            // The next connection begins with another.
            Err(error) if !matches!(error.kind(), ErrorKind::ConnectionOver | ErrorKind::TimedOut) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Gives readings to the client, for as long as it is connected: from then on they are in its snapshot.
    fn hand_over(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(reading) = self.store.readings.front() {
            let data = json!({
                "bdSeq": self.birth.load(Ordering::Relaxed),
                "seq": self.sequence.wrapping_add(1),
                "millis": reading.millis,
                "celsius": reading.celsius,
            });
            if !self.enqueue("data", &data.to_string())? {
                break;
            }
            self.sequence = self.sequence.wrapping_add(1);
            self.store.readings.pop_front();
        }
        Ok(())
    }

    /// Whether the client took the message. Otherwise there is no connection, or no room.
    fn enqueue(&mut self, kind: &str, payload: &str) -> Result<bool, Box<dyn Error>> {
        let Some(client) = self.client.as_mut().filter(|client| client.is_connected()) else { return Ok(false) };
        match client.enqueue(&Publish::new(&topic(kind), payload).qos(QoS::AtLeastOnce)) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::TryLater | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the next reading, and works for the connection meanwhile: sends, connects again, takes commands.
    fn obey_until(&mut self, next: Instant) -> Result<(), Box<dyn Error>> {
        loop {
            let left = next.saturating_duration_since(Instant::now());
            let Some(client) = &mut self.client else {
                std::thread::sleep(left);
                return Ok(());
            };
            let command = client.receive_timeout(left)?;
            let mut is_new = command.as_ref().is_some_and(|command| command.payload == b"rebirth");
            while let Some(event) = client.next_event(Duration::ZERO)? {
                eprintln!("{event}");
                is_new |= matches!(event, Event::Connected { .. });
            }
            if is_new {
                self.be_born()?;
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// Waits until the broker has all, and has it tell the others that the sensor is gone.
    fn leave(&mut self) -> Result<(), Box<dyn Error>> {
        let end = Instant::now() + PATIENCE;
        while self.client.as_ref().is_some_and(|client| client.stats().in_flight > 0) && Instant::now() < end {
            self.obey_until(Instant::now() + INTERVAL / 10)?;
        }
        self.save()?;
        if let Some(client) = self.client.as_mut().filter(|client| client.is_connected()) {
            client.disconnect_with(&Disconnect::new(ReasonCode::DisconnectWithWillMessage))?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(client) = &self.client {
            self.store.session = client.snapshot();
        }
        self.store.birth = self.birth.load(Ordering::Relaxed);
        self.store.save()
    }
}

fn topic(kind: &str) -> String {
    format!("plant/{NAME}/{kind}")
}

/// What a thermometer would say.
fn measure() -> Reading {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let celsius = 12.0 + (now.as_secs_f64() / 60.0).sin();
    Reading { millis: now.as_millis() as u64, celsius: (celsius * 100.0).round() / 100.0 }
}
