//! What comes follows from what was subscribed to.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mqtt_wasi::{Publish, QoS, ReasonCode, Subscription};

use crate::interop::stage::{A_WHILE, SOON, Stage, publish, receive, receive_nothing, said, subscribe, subscribe_as};
use crate::subject::{Native, Settings, Subject};

/// How long a worker waits for a job before another one is asked.
const A_MOMENT: Duration = Duration::from_millis(5);

pub(super) fn retained_message_waits<S: Subject>(stage: &Stage) -> Result<()> {
    is_retained::<S>(stage, "kept")
}

pub(super) fn retained_message_waits_for_a_wildcard<S: Subject>(stage: &Stage) -> Result<()> {
    is_retained::<S>(stage, "#")
}

fn is_retained<S: Subject>(stage: &Stage, filter: &str) -> Result<()> {
    let mut client: S = stage.connect("client")?;
    publish(&mut client, &Publish::new(&stage.topic("kept"), "last word").qos(QoS::AtLeastOnce).retain(true))?;
    subscribe(&mut client, &stage.topic(filter), QoS::AtLeastOnce)?;
    let message = receive(&mut client)?;
    ensure!(message.payload == b"last word" && message.retain, "another message comes");
    Ok(())
}

pub(super) fn retained_message_is_removed<S: Subject>(stage: &Stage) -> Result<()> {
    let mut client: S = stage.connect("client")?;
    let topic = stage.topic("kept");
    for payload in ["last word", ""] {
        publish(&mut client, &Publish::new(&topic, payload).qos(QoS::AtLeastOnce).retain(true))?;
    }
    subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
    receive_nothing(&mut client)
}

pub(super) fn unsubscribed_messages_stay_away<S: Subject>(stage: &Stage) -> Result<()> {
    let mut client: S = stage.connect("client")?;
    let topic = stage.topic("unwanted");
    subscribe(&mut client, &topic, QoS::AtLeastOnce)?;
    let codes = said(client.unsubscribe(&[&topic, &stage.topic("unknown")]))?;
    ensure!(codes == [ReasonCode::Success, ReasonCode::NoSubscriptionExisted], "UNSUBACK has {codes:?}");
    publish(&mut client, &Publish::new(&topic, "").qos(QoS::AtLeastOnce))?;
    receive_nothing(&mut client)
}

pub(super) fn identifier_comes_with_the_message<S: Subject>(stage: &Stage) -> Result<()> {
    let mut client: S = stage.connect("client")?;
    let filter = stage.topic("+");
    subscribe_as(&mut client, Subscription::new(&filter, QoS::AtLeastOnce), Some(268_435_455))?;
    publish(&mut client, &Publish::new(&stage.topic("a"), "").qos(QoS::AtLeastOnce))?;
    let identifiers = receive(&mut client)?.subscription_identifiers;
    ensure!(identifiers == [268_435_455], "the message has the identifiers {identifiers:?}");
    Ok(())
}

pub(super) fn own_messages_stay_away<S: Subject>(stage: &Stage) -> Result<()> {
    let mut client: S = stage.connect("client")?;
    let topic = stage.topic("chat");
    let others = Subscription { no_local: true, ..Subscription::new(&topic, QoS::AtLeastOnce) };
    subscribe_as(&mut client, others, None)?;
    publish(&mut client, &Publish::new(&topic, "mine").qos(QoS::AtLeastOnce))?;
    receive_nothing(&mut client)?;
    let mut other: S = stage.connect("other")?;
    publish(&mut other, &Publish::new(&topic, "theirs").qos(QoS::AtLeastOnce))?;
    ensure!(receive(&mut client)?.payload == b"theirs", "another message comes");
    Ok(())
}

pub(super) fn work_is_shared<S: Subject>(stage: &Stage) -> Result<()> {
    const MANY: usize = 60;
    let topic = stage.topic("work");
    let mut workers = ["first", "second", "third"].map(|role| stage.connect::<S>(role));
    for worker in &mut workers {
        let worker = worker.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        subscribe(worker, &format!("$share/workers/{topic}"), QoS::AtLeastOnce)?;
    }
    let mut publisher: S = stage.connect("publisher")?;
    for _ in 0..MANY {
        publish(&mut publisher, &Publish::new(&topic, "job").qos(QoS::AtLeastOnce))?;
    }
    let (mut shares, end) = ([0; 3], Instant::now() + SOON);
    while shares.iter().sum::<usize>() < MANY && Instant::now() < end {
        for (worker, share) in workers.iter_mut().flatten().zip(&mut shares) {
            *share += usize::from(said(worker.receive(A_MOMENT))?.is_some());
        }
    }
    // What comes twice.
    for (worker, share) in workers.iter_mut().flatten().zip(&mut shares) {
        while let Some(_job) = said(worker.receive(A_WHILE))? {
            *share += 1;
        }
    }
    ensure!(shares.iter().sum::<usize>() == MANY, "the workers get {shares:?} of {MANY} messages");
    ensure!(shares.iter().all(|share| *share > 0), "the workers get {shares:?}");
    Ok(())
}

pub(super) fn requests_are_answered<S: Subject>(stage: &Stage) -> Result<()> {
    const MANY: u32 = 50;
    let topic = stage.topic("double");
    let mut responder: Native = stage.connect("responder")?;
    subscribe(&mut responder, &topic, QoS::AtLeastOnce)?;
    let answering = thread::spawn(move || -> Result<()> {
        for _ in 0..MANY {
            let answered = responder.answer_next(SOON, &mut |request| Ok(request.payload.repeat(2)));
            ensure!(said(answered).context("answering")?, "no request comes");
        }
        said(responder.disconnect())
    });
    let mut client: S = stage.connect_with("requester", Settings::default())?;
    let payloads: Vec<_> = (0..MANY).map(u32::to_be_bytes).collect();
    let requests: Vec<_> = payloads.iter().map(|payload| Publish::new(&topic, payload).qos(QoS::AtLeastOnce)).collect();
    for (reply, payload) in client.request_all(&requests, 2 * SOON).into_iter().zip(&payloads) {
        ensure!(said(reply).context("the reply")?.payload == payload.repeat(2), "another reply comes");
    }
    answering.join().map_err(|_| anyhow::anyhow!("the responder panics"))?
}
