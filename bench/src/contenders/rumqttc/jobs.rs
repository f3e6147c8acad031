// What rumqttc and its fork do in the same way, though not by the same types: it is part of the file of each, which
// has a client and its options made.

/// With `TCP_NODELAY` off, which is what it has by default.
pub(crate) fn run_with_nagle(stage: &Stage) -> Result<(), Unable> {
    stage.leave_nagle_on();
    run(stage)
}

fn run_job(stage: &Stage) -> Result<(), Unable> {
    let runtime = current_thread()?;
    let Job { work, operations, .. } = stage.job();
    match work {
        Work::Publish { qos, size, pace } => runtime.block_on(publish(stage, level(qos), size, pace)),
        Work::Receive { qos, .. } => runtime.block_on(receive(stage, level(qos))),
        Work::Mixed { size } => runtime.block_on(exchange(stage, size)),
        Work::Connect => runtime.block_on(measure(stage, async |count| connect_and_disconnect(stage, count).await)),
        Work::Reconnect => reconnect(stage, &runtime, operations),
        Work::Resume => runtime.block_on(resume(stage)),
        Work::Subscribe => runtime.block_on(subscribe(stage, operations)),
        Work::Idle => runtime.block_on(idle(stage, operations)),
    }
}

fn level(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// A client, and the event loop that does its work when it is driven.
struct Connection {
    client: AsyncClient,
    events: EventLoop,
}

impl Connection {
    async fn open(options: MqttOptions) -> Result<Self, Unable> {
        let (client, events) = client(options);
        let mut connection = Self { client, events };
        connection.drive(1, |event| matches!(event, Event::Incoming(Packet::ConnAck(_)))).await?;
        Ok(connection)
    }

    async fn disconnect(&mut self) -> Result<(), Unable> {
        self.client.disconnect().await?;
        self.drive(1, |event| matches!(event, Event::Outgoing(Outgoing::Disconnect))).await
    }

    /// Disconnects, and connects again, which the event loop does when it is driven without a connection.
    async fn connect_again(&mut self, count: u32) -> Result<(), Unable> {
        for _ in 0..count {
            self.disconnect().await?;
            self.events.clean();
            self.drive(1, |event| matches!(event, Event::Incoming(Packet::ConnAck(_)))).await?;
        }
        Ok(())
    }

    /// Drives the event loop until so many events of a kind have come.
    async fn drive(&mut self, count: u32, is_counted: impl Fn(&Event) -> bool) -> Result<(), Unable> {
        let mut counted = 0;
        while counted < count {
            if is_counted(&self.events.poll().await?) {
                counted += 1;
            }
        }
        Ok(())
    }

    /// Drives the event loop until the connection is lost; says why it is.
    async fn drive_on(&mut self) -> ConnectionError {
        loop {
            if let Err(error) = self.events.poll().await {
                return error;
            }
        }
    }

    async fn publish(&mut self, payload: &Bytes, qos: QoS, pace: Pace, count: u32) -> Result<(), Unable> {
        if pace == Pace::Awaited && qos != QoS::AtMostOnce {
            for _ in 0..count {
                submit(&self.client, payload, qos, 1).await?;
                self.drive(1, |event| is_done(event, qos)).await?;
            }
            return Ok(());
        }
        self.spawn_submit(payload, qos, count);
        self.drive(count, |event| is_done(event, qos)).await
    }

    /// Publishes messages and receives them again, in whatever order that goes.
    async fn exchange(&mut self, payload: &Bytes, count: u32) -> Result<(), Unable> {
        self.spawn_submit(payload, QoS::AtLeastOnce, count);
        self.drive(2 * count, |event| matches!(event, Event::Incoming(Packet::PubAck(_) | Packet::Publish(_)))).await
    }

    /// Publishes from a task of its own, for the event loop is driven meanwhile. It fails only when that has gone.
    fn spawn_submit(&self, payload: &Bytes, qos: QoS, count: u32) {
        let (client, payload) = (self.client.clone(), payload.clone());
        tokio::spawn(async move { submit(&client, &payload, qos, count).await });
    }

    async fn subscribe(&mut self, filters: Vec<Filter>) -> Result<(), Unable> {
        self.client.subscribe_many(filters).await?;
        self.drive(1, |event| matches!(event, Event::Incoming(Packet::SubAck(_)))).await
    }

    async fn receive(&mut self, count: u32) -> Result<(), Unable> {
        self.drive(count, |event| matches!(event, Event::Incoming(Packet::Publish(_)))).await
    }

    /// Notices that the connection is lost, connects again, which the event loop does by itself, and has so many
    /// messages acknowledged.
    async fn resume(&mut self, messages: u32) -> Result<(), Unable> {
        self.drive_on().await;
        self.drive(messages, |event| is_done(event, QoS::AtLeastOnce)).await
    }
}

/// Hands messages to the event loop.
async fn submit(client: &AsyncClient, payload: &Bytes, qos: QoS, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        publish_one(client, payload.clone(), qos).await?;
    }
    Ok(())
}

/// Whether this is the last event of a message that is published at a QoS: at 0 it is written, else acknowledged.
fn is_done(event: &Event, qos: QoS) -> bool {
    match qos {
        QoS::AtMostOnce => matches!(event, Event::Outgoing(Outgoing::Publish(_))),
        QoS::AtLeastOnce => matches!(event, Event::Incoming(Packet::PubAck(_))),
        QoS::ExactlyOnce => matches!(event, Event::Incoming(Packet::PubComp(_))),
    }
}

async fn open(stage: &Stage) -> Result<Connection, Unable> {
    Connection::open(options(stage)).await
}

async fn publish(stage: &Stage, qos: QoS, size: usize, pace: Pace) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    let payload = Bytes::from(vec![b'x'; size]);
    measure(stage, async |count| connection.publish(&payload, qos, pace, count).await).await
}

async fn receive(stage: &Stage, qos: QoS) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    within(connection.subscribe(vec![Filter::new(TOPIC, qos)])).await?;
    measure(stage, async |count| {
        stage.send(count);
        connection.receive(count).await
    })
    .await
}

async fn exchange(stage: &Stage, size: usize) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    within(connection.subscribe(vec![Filter::new(TOPIC, QoS::AtLeastOnce)])).await?;
    let payload = Bytes::from(vec![b'x'; size]);
    measure(stage, async |count| connection.exchange(&payload, count).await).await
}

async fn connect_and_disconnect(stage: &Stage, count: u32) -> Result<(), Unable> {
    for _ in 0..count {
        open(stage).await?.disconnect().await?;
    }
    Ok(())
}

fn reconnect(stage: &Stage, runtime: &Runtime, messages: u32) -> Result<(), Unable> {
    let mut connection = runtime.block_on(within(publish_unacknowledged(stage, messages)))?;
    measure_reconnect(stage, runtime, connection.resume(messages))
}

/// Connects, and publishes messages, as many of them as there are Packet Identifiers; any more wait in the client.
async fn publish_unacknowledged(stage: &Stage, messages: u32) -> Result<Connection, Unable> {
    let mut options = options(stage);
    options.set_clean_start(false).set_session_expiry_interval(Some(3600));
    let mut connection = Connection::open(options).await?;
    connection.spawn_submit(&Bytes::from_static(&[b'x'; 64]), QoS::AtLeastOnce, messages);
    tokio::select! {
        () = stage.arrived(messages.min(u16::MAX.into())) => {}
        error = connection.drive_on() => return Err(error.into()),
    }
    Ok(connection)
}

async fn resume(stage: &Stage) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    measure(stage, async |count| connection.connect_again(count).await).await
}

async fn subscribe(stage: &Stage, count: u32) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    let filters = (0..count).map(|number| Filter::new(format!("bench/{number}/+"), QoS::AtLeastOnce)).collect();
    stage.begin();
    within(connection.subscribe(filters)).await?;
    stage.end();
    Ok(())
}

async fn idle(stage: &Stage, milliseconds: u32) -> Result<(), Unable> {
    let mut connection = within(open(stage)).await?;
    within(connection.subscribe(vec![Filter::new(TOPIC, QoS::AtMostOnce)])).await?;
    stage.begin();
    if let Ok(error) = timeout(Duration::from_millis(milliseconds.into()), connection.drive_on()).await {
        return Err(error.into());
    }
    stage.end();
    Ok(())
}
