//! The client as a component for WASI 0.3: `mqtt-p3.wasm`, called from the host as any embedder would. It continues only
//! during calls, as the host lets nothing run between them.

#[path = "convert.rs"]
mod convert;

use std::sync::LazyLock;
use std::time::Duration;

use convert::{happening, leave, millis, options, reason_code, set_tls, stats, untrapped};
use futures::future::join_all;
use mqtt_wasi::{Message, Publish, QoS, ReasonCode, Stats, Subscription};
use wasmtime::Store;
use wasmtime::component::{Accessor, ResourceAny};

use super::{Answer, ErrorKind, Failure, Happening, Settings, Subject, TlsSettings};
use crate::bindings_p3::Exporter;
use crate::bindings_p3::exports::mqtt_wasi::client::mqtt as wit;
use crate::components;
use crate::runtime::{Host, Permissions, Runtime};

/// Compiled once a process.
static MQTT: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-p3.wasm"));

/// The one with TLS, for tests that set something of it.
static MQTT_TLS: LazyLock<Runtime> = LazyLock::new(|| compiled("mqtt-p3-tls.wasm"));

/// What moves the host's bytes, for all clients.
static TOKIO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime"));

fn compiled(name: &str) -> Runtime {
    let bytes = components::load(name).unwrap_or_else(|error| panic!("{error:?}"));
    Runtime::p3(&bytes).unwrap_or_else(|error| panic!("{error:?}"))
}

/// What a call comes to: these wait.
fn done<R>(call: impl Future<Output = R>) -> R {
    TOKIO.block_on(call)
}

/// A client inside an instance of its own. No call may trap, whatever the broker or the caller does: one that does
/// panics here, and so fails the test.
pub struct ComponentP3 {
    instance: Instance,
    client: ResourceAny,
}

struct Instance {
    store: Store<Host>,
    exporter: Exporter,
}

impl ComponentP3 {
    /// As [`Subject::connect`], with these permissions.
    ///
    /// # Errors
    /// As [`Subject::connect`].
    pub fn connect_permitted(url: &str, settings: &Settings, permissions: &Permissions) -> Result<Self, Failure> {
        let mut instance = Instance::new(if settings.tls.is_some() { &MQTT_TLS } else { &MQTT }, permissions);
        let mqtt = instance.exporter.mqtt_wasi_client_mqtt();
        let options = options(&mut instance.store, mqtt, settings);
        let connect = instance.store.run_concurrent(async |host| {
            instance.exporter.mqtt_wasi_client_mqtt().call_connect(host, url.to_owned(), Some(options)).await
        });
        let client = untrapped(untrapped(done(connect)));
        untrapped(done(options.resource_drop_async(&mut instance.store)));
        Ok(Self { client: client?, instance })
    }

    /// Does what `work` does while the host lets the component run.
    pub fn concurrently<R>(
        &mut self,
        work: impl AsyncFnOnce(&Accessor<Host>, wit::GuestClient<'_>, ResourceAny) -> R,
    ) -> R {
        let Self { instance: Instance { store, exporter }, client } = self;
        let guest = exporter.mqtt_wasi_client_mqtt().client();
        untrapped(done(store.run_concurrent(async |host| work(host, guest, *client).await)))
    }

    fn attempt<R>(
        &mut self,
        call: impl AsyncFnOnce(
            &Accessor<Host>,
            wit::GuestClient<'_>,
            ResourceAny,
        ) -> wasmtime::Result<Result<R, wit::Failure>>,
    ) -> Result<R, Failure> {
        Ok(untrapped(self.concurrently(call))?)
    }

    fn receive_at_most(&mut self, max: u32, timeout: Duration) -> Result<Vec<wit::Message>, Failure> {
        self.attempt(async |host, guest, client| guest.call_receive(host, client, max, Some(millis(timeout))).await)
    }
}

impl Drop for ComponentP3 {
    fn drop(&mut self) {
        // After a trap nothing can be called, and that is what the test fails with.
        if !std::thread::panicking() {
            untrapped(done(self.client.resource_drop_async(&mut self.instance.store)));
        }
    }
}

impl Subject for ComponentP3 {
    type Delivery = u64;

    fn connect(url: &str, settings: &Settings) -> Result<Self, Failure> {
        Self::connect_permitted(url, settings, &leave(url, settings))
    }

    fn reconnect(&mut self) -> Result<bool, Failure> {
        self.attempt(async |host, guest, client| guest.call_reconnect(host, client).await)
    }

    fn use_tls(&mut self, tls: &TlsSettings) -> Result<(), Failure> {
        let Self { instance: Instance { store, exporter }, client } = self;
        let mqtt = exporter.mqtt_wasi_client_mqtt();
        let options = untrapped(done(mqtt.connect_options().call_constructor(&mut *store)));
        set_tls(store, &mqtt.connect_options(), options, tls);
        let updated = untrapped(done(mqtt.client().call_update(&mut *store, *client, options)));
        untrapped(done(options.resource_drop_async(store)));
        Ok(updated?)
    }

    fn publish(&mut self, message: &Publish<'_>) -> Result<ReasonCode, Failure> {
        let said = wit::Publication::from(message);
        let code = self.attempt(async |host, guest, client| {
            if !said.properties.is_empty() {
                return Ok(guest.call_publish_message(host, client, said).await?.map(|answer| answer.code));
            }
            guest.call_publish(host, client, said.topic, said.payload, said.qos, said.retain).await
        })?;
        Ok(reason_code(code))
    }

    fn publish_batch(&mut self, messages: &[Publish<'_>]) -> Vec<Result<ReasonCode, Failure>> {
        let messages: Vec<_> = messages.iter().map(wit::Publication::from).collect();
        let results =
            self.concurrently(async |host, guest, client| guest.call_publish_batch(host, client, messages).await);
        untrapped(results).into_iter().map(|result| Ok(reason_code(result?))).collect()
    }

    fn enqueue(&mut self, message: &Publish<'_>) -> Result<(), Failure> {
        let said = wit::Publication::from(message);
        assert!(said.properties.is_empty(), "enqueue takes none");
        self.attempt(async |host, guest, client| {
            guest.call_enqueue(host, client, said.topic, said.payload, said.qos, said.retain).await
        })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.attempt(async |host, guest, client| guest.call_flush(host, client).await)
    }

    fn subscribe_as(
        &mut self,
        subscriptions: &[Subscription<'_>],
        identifier: Option<u32>,
    ) -> Result<Vec<Result<QoS, ReasonCode>>, Failure> {
        let subscriptions: Vec<_> = subscriptions.iter().map(wit::Subscription::from).collect();
        if let ([one], None) = (&*subscriptions, identifier)
            && one.options == wit::SubscriptionOptions::empty()
        {
            let (filter, maximum_qos) = (one.filter.clone(), one.maximum_qos);
            let granted =
                self.attempt(async |host, guest, client| guest.call_subscribe(host, client, filter, maximum_qos).await);
            return match granted {
                Ok(qos) => Ok(vec![Ok(qos.into())]),
                Err(failure) if failure.kind == ErrorKind::SubscribeRefused => {
                    Ok(vec![Err(failure.code.expect("the broker's Reason Code"))])
                }
                Err(failure) => Err(failure),
            };
        }
        let answer = self.attempt(async |host, guest, client| {
            guest.call_subscribe_with(host, client, subscriptions, identifier, Vec::new()).await
        })?;
        Ok(answer.codes.into_iter().map(|code| QoS::from_u8(code).ok_or_else(|| reason_code(code))).collect())
    }

    fn unsubscribe(&mut self, filters: &[&str]) -> Result<Vec<ReasonCode>, Failure> {
        let filters: Vec<String> = filters.iter().copied().map(String::from).collect();
        let answer = self.attempt(async |host, guest, client| {
            guest.call_unsubscribe_with(host, client, filters, Vec::new()).await
        })?;
        Ok(answer.codes.into_iter().map(reason_code).collect())
    }

    fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, Failure> {
        Ok(self.receive_at_most(1, timeout)?.pop().map(Into::into))
    }

    fn receive_batch(&mut self, max: usize, timeout: Duration) -> Result<Vec<Message>, Failure> {
        Ok(self.receive_at_most(max as u32, timeout)?.into_iter().map(Into::into).collect())
    }

    fn receive_unacknowledged(&mut self, timeout: Duration) -> Result<Option<(Message, Option<u64>)>, Failure> {
        Ok(self.receive_at_most(1, timeout)?.pop().map(|received| {
            let delivery = received.delivery;
            (received.into(), delivery)
        }))
    }

    fn acknowledge(&mut self, delivery: u64) -> bool {
        let Self { instance: Instance { store, exporter }, client } = self;
        untrapped(done(exporter.mqtt_wasi_client_mqtt().client().call_acknowledge(store, *client, delivery)))
    }

    fn request_all(&mut self, requests: &[Publish<'_>], timeout: Duration) -> Vec<Result<Message, Failure>> {
        let requests: Vec<_> = requests.iter().map(wit::Publication::from).collect();
        let replies = self.concurrently(async |host, guest, client| {
            join_all(
                requests.into_iter().map(|request| guest.call_request_with(host, client, request, millis(timeout))),
            )
            .await
        });
        replies.into_iter().map(|reply| Ok(untrapped(reply)?.into())).collect()
    }

    fn answer_next(&mut self, timeout: Duration, answer: Answer<'_>) -> Result<bool, Failure> {
        let next = self
            .attempt(async |host, guest, client| guest.call_next_request(host, client, Some(millis(timeout))).await)?;
        let Some(request) = next else { return Ok(false) };
        let id = request.id;
        let answered = match answer(&request.message.into()) {
            Ok(payload) => self.attempt(async |host, guest, client| {
                guest.call_reply(host, client, id, wit::Payload::Bytes(payload)).await
            }),
            Err(why) => self.attempt(async |host, guest, client| guest.call_fail_request(host, client, id, why).await),
        };
        // Nothing happens if it was answered.
        let Self { instance: Instance { store, exporter }, client } = self;
        untrapped(done(exporter.mqtt_wasi_client_mqtt().client().call_release_request(store, *client, id)));
        answered.map(|()| true)
    }

    fn is_connected(&mut self) -> bool {
        let Self { instance: Instance { store, exporter }, client } = self;
        untrapped(done(exporter.mqtt_wasi_client_mqtt().client().call_is_connected(store, *client)))
    }

    fn in_flight(&mut self) -> usize {
        let Self { instance: Instance { store, exporter }, client } = self;
        untrapped(done(exporter.mqtt_wasi_client_mqtt().client().call_in_flight(store, *client))) as usize
    }

    fn next_event(&mut self, timeout: Duration) -> Result<Option<Happening>, Failure> {
        let event =
            self.attempt(async |host, guest, client| guest.call_next_event(host, client, Some(millis(timeout))).await)?;
        Ok(event.map(happening))
    }

    fn stats(&mut self) -> Stats {
        let Self { instance: Instance { store, exporter }, client } = self;
        stats(untrapped(done(exporter.mqtt_wasi_client_mqtt().client().call_stats(store, *client))))
    }

    fn snapshot(&mut self) -> Vec<u8> {
        let Self { instance: Instance { store, exporter }, client } = self;
        untrapped(done(exporter.mqtt_wasi_client_mqtt().client().call_snapshot(store, *client)))
    }

    fn disconnect(&mut self) -> Result<(), Failure> {
        self.attempt(async |host, guest, client| guest.call_disconnect(host, client, None).await)
    }
}

impl Instance {
    fn new(mqtt: &Runtime, permissions: &Permissions) -> Self {
        let mut store = mqtt.store(permissions);
        let exporter = untrapped(done(Exporter::instantiate_async(&mut store, mqtt.component(), mqtt.linker())));
        Self { store, exporter }
    }
}
