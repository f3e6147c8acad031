"""The interface mqtt-wasi:client/mqtt, as Python has things: exceptions with words, defaults, numbers for QoS, str and
bytes as payloads, `with` and `for`. Copy this file into your program.

    with connect("mqtt://localhost", client_id="thermometer-7") as client:
        client.subscribe("sensors/#", qos=1)
        client.publish("sensors/kitchen", "21.5", qos=1, user_properties={"unit": "C"})
        for message in client.messages(timeout=5):
            print(message.topic, message.text)

Timeouts are in seconds, and None waits for ever. What has no method here is in `client.raw`, which is the client of the
interface: see wit/mqtt.wit. Call it in `with failures():`, so that its failures are MqttErrors too.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from componentize_py_types import Err, Ok
from wit_world.imports import mqtt as wit

Payload = str | bytes
"""Text has the Payload Format Indicator 1, and bytes have none."""

UserProperties = Mapping[str, str] | Iterable[tuple[str, str]]
"""Names and values. A name may repeat, except in a mapping."""


class MqttError(Exception):
    """Why a call failed. Its words are for people: where the broker gave reasons, they are among them."""

    kind: str
    """What it means for the program: wrong-call, try-later, timed-out, refused, connection-over, not-trusted or
    protocol-broken."""
    name: str
    """What it is, exactly, for example publish-refused. Later versions may add others: see wit/mqtt.wit."""
    reason_code: int | None
    """The Reason Code that the broker gave, or that it was sent with the DISCONNECT."""

    def __init__(self, kind: str, name: str, message: str, reason_code: int | None = None) -> None:
        super().__init__(message)
        self.kind, self.name, self.reason_code = kind, name, reason_code


class failures:
    """Has the failures of the interface raised as MqttErrors."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, Err) and isinstance(error.value, wit.Failure):
            raise _error(error.value) from None


@dataclass
class Message:
    """A received message."""

    topic: str
    payload: Payload
    """Text if the sender said that it is, otherwise bytes."""
    qos: int
    retain: bool
    duplicate: bool
    """Whether the broker sent it again, so it may have been received before."""
    delivery: int | None
    """For `acknowledge`, with `acknowledge_by_hand`."""
    subscription_identifiers: list[int]
    message_expiry_interval_seconds: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The payload as text. Raises UnicodeDecodeError if it is not UTF-8."""
        return self.payload if isinstance(self.payload, str) else self.payload.decode()

    @property
    def bytes(self) -> bytes:
        """The payload as bytes."""
        return _bytes(self.payload)

    def json(self) -> Any:
        """The payload, parsed as JSON."""
        return json.loads(self.payload)

    def user_property(self, name: str) -> str | None:
        """The value of the first User Property with this name."""
        return next((value for each, value in self.user_properties if each == name), None)


@dataclass
class IncomingRequest:
    """A request to answer. It should end with one of `reply`, `fail_request` and `release_request`."""

    id: int
    message: Message
    wants_reply: bool
    remaining_ms: int | None
    """How many milliseconds the requester still waits, if that is known."""


def connect(url: str, **options: Any) -> "Client":
    """Connects to a broker. The options are those of `connect-options` in wit/mqtt.wit, which has their ranges and
    defaults: `set-keep-alive-seconds` is `keep_alive_seconds=30`. Each `add-…` takes a list: `ca`, `fingerprints`,
    `alpn`, `fallbacks`; `websocket_headers` and `user_properties` take pairs. `will` is a dict with the arguments of
    `publish`, and `delay_interval_seconds`."""
    with failures():
        return Client(wit.connect(url, _connect_options(options)))


class Client:
    """A client with one session, and at most one connection at a time. All calls block, for a bounded time. At the end
    of its `with` block it disconnects."""

    raw: wit.Client
    """The client of the interface."""

    def __init__(self, raw: wit.Client) -> None:
        self.raw = raw

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        try:
            self.disconnect()
        except MqttError:
            # What ended the block is more important.
            if error is None:
                raise
        finally:
            self.raw.__exit__(kind, error, traceback)

    def publish(
        self, topic: str, payload: Payload, *, qos: int = 0, retain: bool = False, **properties: Any
    ) -> int:
        """Publishes a message. Returns the Reason Code: 0x10 if the broker knows of no subscriber, otherwise 0.

        Properties: `message_expiry_interval_seconds`, `content_type`, `response_topic`, `correlation_data`,
        `topic_alias`, `user_properties`."""
        message = _publication(topic, payload, qos=qos, retain=retain, **properties)
        with failures():
            if message.properties:
                return self.raw.publish_message(message).code
            return self.raw.publish(topic, message.payload, message.qos, retain)

    def publish_batch(self, messages: Iterable[Mapping[str, Any]]) -> list[int | MqttError]:
        """Publishes many messages, much faster than one by one: dicts with the arguments of `publish`. Returns for each
        its Reason Code, or why it failed."""
        with failures():
            results = self.raw.publish_batch([_publication(**message) for message in messages])
        return [result.value if isinstance(result, Ok) else _error(result.value) for result in results]

    def subscribe(
        self,
        filter: str,
        *,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int | None = None,
        user_properties: UserProperties = (),
    ) -> int:
        """Subscribes to a Topic Filter. Returns the granted QoS."""
        flags = wit.SubscriptionOptions
        options = flags.NO_LOCAL if no_local else flags(0)
        options |= flags.RETAIN_AS_PUBLISHED if retain_as_published else flags(0)
        options |= [flags(0), flags.RETAINED_IF_NEW, flags.NO_RETAINED][retain_handling]
        pairs = _pairs(user_properties)
        with failures():
            if not options and identifier is None and not pairs:
                return self.raw.subscribe(filter, _qos(qos)).value
            answer = self.raw.subscribe_with([wit.Subscription(filter, _qos(qos), options)], identifier, pairs)
        code = answer.codes[0]
        if code < 0x80:
            return code
        words = ": ".join(filter_ for filter_ in (wit.reason_name(code), answer.reason_string) if filter_)
        raise MqttError("refused", "subscribe-refused", f"the broker refused the subscription to {filter}: {words}", code)

    def unsubscribe(self, filter: str) -> None:
        """Unsubscribes from a Topic Filter. That there was no such subscription is no error."""
        with failures():
            self.raw.unsubscribe(filter)

    def receive(self, timeout: float | None = None) -> Message | None:
        """Waits for the next message. None: none came."""
        with failures():
            message = self.raw.receive(_ms(timeout))
        return message and _message(message)

    def receive_batch(self, max_messages: int, timeout: float | None = None) -> list[Message]:
        """Waits for a message, and returns it with all that are there, at most so many."""
        with failures():
            messages = self.raw.receive_batch(max_messages, _ms(timeout))
        return [_message(message) for message in messages]

    def messages(self, timeout: float | None = None) -> Iterator[Message]:
        """The messages as they come, until none comes for so long."""
        return _each(self.receive, timeout)

    def acknowledge(self, message: Message) -> bool:
        """Acknowledges a message, with `acknowledge_by_hand`. False: it was done before, or its connection is over."""
        return message.delivery is not None and self.raw.acknowledge(message.delivery)

    def request(self, topic: str, payload: Payload, *, timeout: float = 30, **options: Any) -> Message:
        """Sends a request with the arguments of `publish`, and waits for the reply."""
        request = self.start_request(topic, payload, timeout=timeout, **options)
        # The time of the request is what ends this, with a failure.
        while (reply := self.wait_for_reply(request)) is None:
            pass
        return reply

    def start_request(self, topic: str, payload: Payload, *, timeout: float = 30, **options: Any) -> int:
        """Sends a request that ends after so many seconds. Returns its number for `wait_for_reply`."""
        with failures():
            return self.raw.start_request(_publication(topic, payload, **options), _ms(timeout))

    def wait_for_reply(self, request: int, timeout: float | None = None) -> Message | None:
        """Waits for the reply to a request. None: it has not come yet."""
        with failures():
            reply = self.raw.wait_for_reply(request, _ms(timeout))
        return reply and _message(reply)

    def next_request(self, timeout: float | None = None) -> IncomingRequest | None:
        """Waits for the next request to answer. None: none came. Subscribe to its topic first."""
        with failures():
            request = self.raw.next_request(_ms(timeout))
        if request is None:
            return None
        return IncomingRequest(request.id, _message(request.message), request.wants_reply, request.remaining_ms)

    def requests(self, timeout: float | None = None) -> Iterator[IncomingRequest]:
        """The requests to answer as they come, until none comes for so long."""
        return _each(self.next_request, timeout)

    def reply(self, request: IncomingRequest, payload: Payload, **properties: Any) -> None:
        """Sends the reply to a request. Properties: `content_type`, `user_properties`."""
        with failures():
            self.raw.reply_with(request.id, _payload(payload), _properties(properties))

    def fail_request(self, request: IncomingRequest, why: str) -> None:
        """Tells the requester that its request failed, and why."""
        with failures():
            self.raw.fail_request(request.id, why)

    def release_request(self, request: IncomingRequest) -> None:
        """Lets a request go without a reply."""
        self.raw.release_request(request.id)

    def disconnect(self) -> None:
        """Disconnects. The broker deletes the Will Message."""
        with failures():
            self.raw.disconnect(None)


_LISTS = {"ca": "add_ca", "fingerprints": "add_fingerprint", "alpn": "add_alpn", "fallbacks": "add_fallback"}
_PAIRS = {"websocket_headers": "add_websocket_header", "user_properties": "add_user_property"}
# What takes bytes in the interface. Given a str, it would end the program.
_BYTES = {"password", "authentication_data", "ca", "alpn", "snapshot", "correlation_data"}
_PROPERTIES = {
    "message_expiry_interval_seconds": wit.Property_MessageExpiryIntervalSeconds,
    "content_type": wit.Property_ContentType,
    "response_topic": wit.Property_ResponseTopic,
    "correlation_data": wit.Property_CorrelationData,
    "topic_alias": wit.Property_TopicAlias,
}
_NAMES = {kind: name for name, kind in _PROPERTIES.items()}


def _connect_options(options: dict[str, Any]) -> wit.ConnectOptions:
    result = wit.ConnectOptions()
    for name, value in options.items():
        if value is None:
            continue
        if name == "will":
            will = dict(value)
            delay = will.pop("delay_interval_seconds", None)
            result.set_will(_publication(**will), delay)
        elif name == "client_certificate":
            chain, key = value
            result.set_client_certificate(_bytes(chain), _bytes(key))
        elif name == "reconnect_delays_ms":
            result.set_reconnect_delays_ms(*value)
        elif name in _PAIRS:
            for pair in _pairs(value):
                getattr(result, _PAIRS[name])(*pair)
        elif name in _LISTS:
            for each in value if isinstance(value, (list, tuple)) else [value]:
                getattr(result, _LISTS[name])(_value(name, each))
        elif hasattr(result, f"set_{name}"):
            getattr(result, f"set_{name}")(_value(name, value))
        else:
            raise TypeError(f"there is no option {name!r} of connections")
    return result


def _publication(
    topic: str, payload: Payload, *, qos: int = 0, retain: bool = False, **properties: Any
) -> wit.Publication:
    return wit.Publication(topic, _payload(payload), _qos(qos), retain, _properties(properties))


def _properties(properties: dict[str, Any]) -> list[wit.Property]:
    result: list[wit.Property] = []
    for name, value in properties.items():
        if name == "user_properties":
            result += [wit.Property_UserProperty(pair) for pair in _pairs(value or ())]
        elif name not in _PROPERTIES:
            raise TypeError(f"there is no option {name!r} of messages")
        elif value is not None:
            result.append(_PROPERTIES[name](_value(name, value)))
    return result


def _message(message: wit.Message) -> Message:
    properties: dict[str, Any] = {}
    pairs: list[tuple[str, str]] = []
    for each in message.properties or ():
        if isinstance(each, wit.Property_UserProperty):
            pairs.append(each.value)
        else:
            properties[_NAMES[type(each)]] = each.value
    identifiers = list(message.subscription_identifiers or ())
    head = message.topic, message.payload.value, message.qos.value, message.retain, message.duplicate
    return Message(*head, message.delivery, identifiers, user_properties=pairs, **properties)


def _error(failure: wit.Failure) -> MqttError:
    return MqttError(failure.kind.name.lower().replace("_", "-"), failure.name, failure.message, failure.code)


def _each[T](receive: Callable[[float | None], T | None], timeout: float | None) -> Iterator[T]:
    while True:
        if (item := receive(timeout)) is not None:
            yield item
        elif timeout is not None:
            return


def _payload(payload: Payload) -> wit.Payload:
    return wit.Payload_Text(payload) if isinstance(payload, str) else wit.Payload_Bytes(_bytes(payload))


def _value(name: str, value: Any) -> Any:
    if name in _BYTES:
        return _bytes(value)
    if isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"{name} is an int, a str or a bool, and not {type(value).__name__}")


def _bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"a str or bytes are needed, and not {type(value).__name__}")


def _pairs(pairs: UserProperties) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in (pairs.items() if isinstance(pairs, Mapping) else pairs)]


def _qos(qos: int) -> wit.Qos:
    return wit.Qos(qos)


def _ms(timeout: float | None) -> int:
    return 0xFFFF_FFFF if timeout is None else min(max(0, round(timeout * 1000)), 0xFFFF_FFFF)
