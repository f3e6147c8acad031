//! The bridge as a native program: two async clients on one thread.

use std::convert::Infallible;
use std::time::Duration;

use mqtt_wasi::codec::UserProperty;
use mqtt_wasi::{
    AsyncClient, AsyncMessages, Delivery, Error, ErrorKind, Message, Options, Publish, PublishProperties, QoS,
    Reconnect, Subscription,
};
use tokio::time::timeout;

use crate::{BATCH, Bridge, CLIENT_ID, SESSION};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(bridge: &Bridge) -> Result<(), Error> {
    let (near, far) = tokio::try_join!(connect(&bridge.near), connect(&bridge.far))?;
    let out = listen(&near, &bridge.out).await?;
    let back = listen(&far, &bridge.back).await?;
    println!("{} goes from {} to {}, and {} comes back", bridge.out, bridge.near, bridge.far, bridge.back);
    tokio::try_join!(forward(&near, out, &far), forward(&far, back, &near), tell("near", &near), tell("far", &far))?;
    Ok(())
}

async fn connect(url: &str) -> Result<AsyncClient, Error> {
    let options = Options::new()
        .client_id(CLIENT_ID)
        .clean_start(false)
        .adopt_session(true)
        .session_expiry_interval(SESSION)
        .reconnect(Reconnect::default());
    AsyncClient::connect(url, options).await
}

async fn listen(client: &AsyncClient, filter: &str) -> Result<AsyncMessages, Error> {
    // What the bridge itself published does not go back, also if both filters match it.
    let subscription =
        Subscription { no_local: true, retain_as_published: true, ..Subscription::new(filter, QoS::AtLeastOnce) };
    client.listen(subscription).await
}

/// Forwards all that comes, in order, until one of the connections is over for good.
async fn forward(from: &AsyncClient, mut messages: AsyncMessages, to: &AsyncClient) -> Result<Infallible, Error> {
    loop {
        let mut batch = vec![messages.receive_unacknowledged().await?];
        // And what else is there already.
        while batch.len() < BATCH
            && let Ok(next) = timeout(Duration::ZERO, messages.receive_unacknowledged()).await
        {
            batch.push(next?);
        }
        while !batch.is_empty() {
            batch = publish(batch, from, to).await?;
        }
    }
}

/// Publishes messages, acknowledges those that are done, and returns the others.
async fn publish(
    batch: Vec<(Message, Option<Delivery>)>,
    from: &AsyncClient,
    to: &AsyncClient,
) -> Result<Vec<(Message, Option<Delivery>)>, Error> {
    let pairs: Vec<Vec<UserProperty<'_>>> = batch.iter().map(|(message, _)| user_properties(message)).collect();
    let publishes = batch.iter().zip(&pairs).map(|((message, _), pairs)| lend(message, pairs));
    let results = to.publish_all(publishes).await;
    let mut again = Vec::new();
    for ((message, delivery), result) in batch.into_iter().zip(results) {
        match result {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::WrongCall) => {
                eprintln!("{} is not forwarded: {error}", message.topic);
            }
            // It may have arrived. At QoS 1 it may arrive twice.
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::TryLater) => {
                again.push((message, delivery));
                continue;
            }
            Err(error) => return Err(error),
        }
        delivery.map(|delivery| from.acknowledge(delivery));
    }
    Ok(again)
}

fn user_properties(message: &Message) -> Vec<UserProperty<'_>> {
    message.user_properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The message as it came.
fn lend<'a>(message: &'a Message, user_properties: &'a [UserProperty<'a>]) -> Publish<'a> {
    let properties = PublishProperties {
        payload_format_indicator: message.payload_format_indicator,
        message_expiry_interval: message.message_expiry_interval,
        content_type: message.content_type.as_deref(),
        response_topic: message.response_topic.as_deref(),
        correlation_data: message.correlation_data.as_deref(),
        user_properties: user_properties.into(),
        ..PublishProperties::default()
    };
    Publish::new(&message.topic, &message.payload).qos(message.qos).retain(message.retain).properties(properties)
}

/// Prints what happens to a connection.
async fn tell(name: &str, client: &AsyncClient) -> Result<Infallible, Error> {
    loop {
        eprintln!("{name}: {}", client.next_event().await?);
    }
}
