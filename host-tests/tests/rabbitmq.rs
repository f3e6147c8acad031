//! Requests and replies cross RabbitMQ between MQTT and AMQP 0.9.1, with their traces, as `docs/rabbitmq.md` says.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use host_tests::rabbitmq::RabbitMq;
use host_tests::subject::{Component, SOON, Settings, Subject};
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use mqtt_wasi::{AsyncClient, Error, Options, Publish, PublishProperties, QoS, Reply, Subscription, TraceContext};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// What everything passes on its way from one protocol to the other.
const EXCHANGE: &str = "amq.topic";

/// The header that the Response Topic becomes, as a routing key.
const REPLY_TO: &str = "x-reply-to-topic";

/// The `delivery_mode` that becomes QoS 1.
const PERSISTENT: u8 = 2;

/// How many requests wait for their replies at once.
const MANY: usize = 64;

/// A story that takes longer is stuck. The component may have to be built first.
const STUCK: Duration = Duration::from_secs(300);

/// After how long without a message no more come. All were taken by the broker before.
const QUIET: Duration = Duration::from_secs(6);

/// What the stories are told with.
struct Stage {
    mqtt_url: String,
    amqp: Connection,
}

/// An AMQP client with a queue of its own.
struct Peer {
    channel: Channel,
    deliveries: Consumer,
}

/// Tells each of these stories; what was printed last is the name of the one that failed.
macro_rules! tell {
    ($stage:expr; $($story:ident),+ $(,)?) => {
        $(
            println!("{}", stringify!($story));
            timeout(STUCK, $story($stage)).await.expect("an end of the story");
        )+
    };
}

#[test]
fn requests_and_replies_cross_between_mqtt_and_amqp() {
    let Some(broker) = RabbitMq::start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let amqp = Connection::connect(&broker.amqp_url(), ConnectionProperties::default()).await.unwrap();
        let stage = Stage { mqtt_url: broker.mqtt_url(), amqp };
        tell!(&stage;
            amqp_service_answers_our_request,
            amqp_service_answers_the_request_of_a_component,
            amqp_requester_is_answered_by_us,
            amqp_service_that_reads_only_the_body_answers_our_request,
            amqp_requester_that_writes_only_the_body_is_answered_by_us,
            replies_in_reverse_order_find_their_requests,
            request_that_nobody_listens_for_has_no_responder,
            queue_spreads_the_work_of_instances_over_consumers,
        );
        stage.amqp.close(200, "OK".into()).await.unwrap();
    });
}

async fn amqp_service_answers_our_request(stage: &Stage) {
    let service = Peer::bind(stage, "square.ours").await;
    let client = connect(stage, Options::new().client_id("asker")).await;
    let context = trace();

    let answering = tokio::spawn(service.square_one());
    let reply = client.request_traced(&question("square/ours", "12"), SOON, &context).await.unwrap();

    let request = answering.await.unwrap();
    assert_eq!(header(&request, REPLY_TO).as_deref(), Some("replies.asker"));
    assert_eq!(trace_context(&request).as_ref(), Some(&context), "on the way to AMQP");
    assert_eq!(reply.payload, b"144");
    assert_eq!(reply.trace_context(), Some(context), "on the way back");
}

async fn amqp_service_answers_the_request_of_a_component(stage: &Stage) {
    let service = Peer::bind(stage, "square.components").await;
    let (url, context) = (stage.mqtt_url.clone(), trace());

    let answering = tokio::spawn(service.square_one());
    let asking = spawn_blocking(move || {
        let settings = Settings { client_id: "component", ..Settings::default() };
        let mut component = Component::connect(&url, &settings).unwrap();
        let traceparent = context.traceparent();
        let user_properties =
            [(TraceContext::TRACEPARENT, traceparent.as_str()), (TraceContext::TRACESTATE, context.tracestate())];
        let properties =
            PublishProperties { user_properties: (&user_properties).into(), ..PublishProperties::default() };
        component.request_all(&[question("square/components", "12").properties(properties)], SOON).remove(0).unwrap()
    });
    let reply = asking.await.unwrap();

    let request = answering.await.unwrap();
    assert_eq!(header(&request, REPLY_TO).as_deref(), Some("replies.component"));
    assert_eq!(trace_context(&request), Some(trace()), "on the way to AMQP");
    assert_eq!(reply.payload, b"144");
    assert_eq!(reply.trace_context(), Some(trace()), "on the way back");
}

async fn amqp_requester_is_answered_by_us(stage: &Stage) {
    let client = connect(stage, Options::new().client_id("answerer")).await;
    let mut requests = client.requests(Subscription::new("square/theirs", QoS::AtLeastOnce)).await.unwrap();
    let mut requester = Peer::bind(stage, "replies.amqp").await;
    let context = trace();

    let mut pairs = vec![(REPLY_TO.to_owned(), "replies.amqp".to_owned())];
    context.inject(&mut pairs);
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_correlation_id("the seventh".into())
        .with_headers(headers(pairs));
    requester.publish("square.theirs", b"12", properties).await;
    let request = requests.receive().await.unwrap();
    assert_eq!(request.message().response_topic.as_deref(), Some("replies/amqp"));
    assert_eq!(request.message().trace_context().as_ref(), Some(&context), "on the way to MQTT");
    let child = context.random_child();
    let answer = Reply::new(square(&request.message().payload)).trace_context(&child);
    request.reply(answer).await.unwrap();

    let reply = requester.next().await;
    assert_eq!((reply.data.as_slice(), correlation_id(&reply)), (&b"144"[..], Some("the seventh")));
    let answered_in = trace_context(&reply).expect("a trace context on the way back");
    assert_eq!(answered_in.trace_id(), context.trace_id());
    assert_eq!(answered_in, child);
}

async fn amqp_service_that_reads_only_the_body_answers_our_request(stage: &Stage) {
    let mut service = Peer::bind(stage, "sum.ours").await;
    let client = connect(stage, Options::new().client_id("enveloped-asker").json_envelope(true)).await;

    let answering = tokio::spawn(async move {
        let request: Value = serde_json::from_slice(&service.next().await.data).unwrap();
        let reply = json!({ "correlationId": request["correlationId"], "result": sum(&request) });
        let reply_to = request["replyTo"].as_str().expect("a routing key in the body");
        service.publish(reply_to, reply.to_string().as_bytes(), BasicProperties::default()).await;
    });
    let result: i64 = client.request_json("sum/ours", &json!({ "a": 1, "b": 2 }), SOON).await.unwrap();

    answering.await.unwrap();
    assert_eq!(result, 3);
}

async fn amqp_requester_that_writes_only_the_body_is_answered_by_us(stage: &Stage) {
    let client = connect(stage, Options::new().client_id("enveloped-answerer").json_envelope(true)).await;
    let mut requests = client.requests(Subscription::new("sum/theirs", QoS::AtLeastOnce)).await.unwrap();
    let mut requester = Peer::bind(stage, "replies.enveloped").await;

    let body = json!({ "correlationId": "the eighth", "replyTo": "replies.enveloped", "a": 1, "b": 2 });
    requester.publish("sum.theirs", body.to_string().as_bytes(), BasicProperties::default()).await;
    let request = requests.receive().await.unwrap();
    let answer = Reply::json(&sum(&request.message().json().unwrap())).unwrap();
    request.reply(answer).await.unwrap();

    let reply: Value = serde_json::from_slice(&requester.next().await.data).unwrap();
    assert_eq!(reply, json!({ "correlationId": "the eighth", "result": 3 }));
}

async fn replies_in_reverse_order_find_their_requests(stage: &Stage) {
    let mut service = Peer::bind(stage, "square.many").await;
    let client = connect(stage, Options::new().client_id("many")).await;
    let numbers: Vec<_> = (0..MANY).map(|number| number.to_string()).collect();
    let questions: Vec<_> = numbers.iter().map(|number| question("square/many", number)).collect();

    let answering = tokio::spawn(async move {
        let mut requests = Vec::new();
        while requests.len() < MANY {
            requests.push(service.next().await);
        }
        for request in requests.iter().rev() {
            service.reply(request, &square(&request.data)).await;
        }
    });
    let replies = join_all(questions.iter().map(|question| client.request(question, SOON))).await;

    answering.await.unwrap();
    let payloads: Vec<_> =
        replies.into_iter().map(|reply| String::from_utf8(reply.unwrap().payload).unwrap()).collect();
    assert_eq!(payloads, Vec::from_iter(numbers.iter().map(|number| square(number.as_bytes()))));
}

async fn request_that_nobody_listens_for_has_no_responder(stage: &Stage) {
    let client = connect(stage, Options::new().client_id("lonely")).await;
    let reply = client.request(&question("nobody/there", "12"), SOON).await;
    assert_eq!(reply, Err(Error::NoResponder));
}

async fn queue_spreads_the_work_of_instances_over_consumers(stage: &Stage) {
    const INSTANCES: usize = 3;
    let consumers = Peer::share(stage, "jobs.#", 4).await;
    let url = stage.mqtt_url.clone();
    let publishing = spawn_blocking(move || {
        for instance in 0..INSTANCES {
            let mut component = Component::connect(&url, &Settings::default()).unwrap();
            let topic = format!("jobs/{instance}");
            let jobs: Vec<_> = (0..MANY).map(|job| format!("{instance}/{job}")).collect();
            let messages: Vec<_> = jobs.iter().map(|job| question(&topic, job)).collect();
            assert!(component.publish_batch(&messages).iter().all(Result::is_ok));
        }
    });
    publishing.await.unwrap();
    let done = join_all(consumers.into_iter().map(Peer::take_all)).await;

    let fair = INSTANCES * MANY / done.len();
    assert!(done.iter().all(|jobs| jobs.len() > fair / 2), "{done:?}");
    let all: BTreeSet<_> = done.iter().flatten().collect();
    assert_eq!(all.len(), INSTANCES * MANY, "each job once: {done:?}");
    assert_eq!(done.iter().flatten().count(), all.len(), "no job twice: {done:?}");
}

impl Peer {
    /// From when this returns, it gets what is published to this routing key.
    async fn bind(stage: &Stage, key: &str) -> Self {
        Self::share(stage, key, 1).await.remove(0)
    }

    /// The same for so many who share a queue: each message comes to one of them.
    async fn share(stage: &Stage, key: &str, count: usize) -> Vec<Self> {
        let channel = stage.amqp.create_channel().await.unwrap();
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap().name().clone();
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(queue.clone(), EXCHANGE.into(), key.into(), options, arguments).await.unwrap();
        let mut peers = Vec::new();
        for _ in 0..count {
            let channel = stage.amqp.create_channel().await.unwrap();
            channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
            let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
            let consuming = channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default());
            let deliveries = consuming.await.unwrap();
            peers.push(Self { channel, deliveries });
        }
        peers
    }

    /// What comes, until nothing has come for some seconds.
    async fn take_all(mut self) -> Vec<String> {
        let mut bodies = Vec::new();
        while let Ok(delivery) = timeout(QUIET, self.next()).await {
            bodies.push(String::from_utf8_lossy(&delivery.data).into_owned());
        }
        bodies
    }

    async fn next(&mut self) -> Delivery {
        self.deliveries.next().await.expect("a message before its queue ends").unwrap()
    }

    /// Publishes to someone, who must be there.
    async fn publish(&self, key: &str, payload: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let published = self.channel.basic_publish(EXCHANGE.into(), key.into(), options, payload, properties).await;
        let confirmation = published.unwrap().await.unwrap();
        assert!(confirmation.is_ack(), "RabbitMQ did not take what was published to {key}");
        assert!(confirmation.take_message().is_none(), "nobody gets what was published to {key}");
    }

    /// Replies to where the request says, with its correlation id and its trace.
    async fn reply(&self, request: &Delivery, payload: &str) {
        let reply_to = header(request, REPLY_TO).expect("where the reply goes");
        let traced = [TraceContext::TRACEPARENT, TraceContext::TRACESTATE]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), header(request, name)?)));
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_correlation_id(correlation_id(request).expect("what tells replies apart").into())
            .with_headers(headers(traced));
        self.publish(&reply_to, payload.as_bytes(), properties).await;
    }

    /// Answers one request, and returns it.
    async fn square_one(mut self) -> Delivery {
        let request = self.next().await;
        self.reply(&request, &square(&request.data)).await;
        request
    }
}

async fn connect(stage: &Stage, options: Options) -> AsyncClient {
    AsyncClient::connect(&stage.mqtt_url, options).await.unwrap()
}

/// At QoS 1, so that the broker tells when nobody gets it.
fn question<'a>(topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish::new(topic, payload).qos(QoS::AtLeastOnce)
}

fn trace() -> TraceContext {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    TraceContext::parse(traceparent, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE").unwrap()
}

fn square(payload: &[u8]) -> String {
    let number: u64 = std::str::from_utf8(payload).unwrap().parse().unwrap();
    (number * number).to_string()
}

fn sum(request: &Value) -> i64 {
    request["a"].as_i64().unwrap() + request["b"].as_i64().unwrap()
}

fn headers(pairs: impl IntoIterator<Item = (String, String)>) -> FieldTable {
    let mut headers = FieldTable::default();
    for (name, value) in pairs {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    headers
}

/// The header with this name, if there is one; it must be a string.
fn header(delivery: &Delivery, name: &str) -> Option<String> {
    let value = delivery.properties.headers().as_ref()?.inner().get(name)?;
    Some(value.as_long_string().unwrap_or_else(|| panic!("{name} is {value:?}")).to_string())
}

fn correlation_id(delivery: &Delivery) -> Option<&str> {
    delivery.properties.correlation_id().as_ref().map(|id| id.as_str())
}

fn trace_context(delivery: &Delivery) -> Option<TraceContext> {
    let traceparent = header(delivery, TraceContext::TRACEPARENT)?;
    TraceContext::parse(&traceparent, &header(delivery, TraceContext::TRACESTATE).unwrap_or_default()).ok()
}
