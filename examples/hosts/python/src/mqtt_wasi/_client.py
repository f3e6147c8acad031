"""The client: calls that block, for any number of threads."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, TypeVar

from . import _options
from ._bulk import pack
from ._component import Instance
from ._error import MqttError, of_failure
from ._message import (
    QOS,
    Message,
    Payload,
    Publication,
    Request,
    UserProperties,
    message_of_wit,
    pairs,
    payload_to_wit,
    qos_to_wit,
)
from ._permissions import Permissions
from ._wasi import Network, Permission

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

T = TypeVar("T")

_MOST_MS = 0xFFFFFFFF


def connect(url: str, *, allow: Permission | None = None, **options: Unpack[_options.Options]) -> Client:
    """Connects to a broker: ``mqtt://[user:password@]host[:port]``, or ``mqtts://`` with TLS.

    ``allow(address, port)`` decides whether the client may connect to an address, such as ``"192.0.2.1"``; without it,
    only to the brokers of ``url`` and ``fallbacks``. Blocks for at most twice the connect timeout for each broker, or
    ``first_connect_ms``.

    Raises `MqttError`: ``invalid-url``, ``invalid-argument``, ``connection-refused``, ``access-denied``, and others of
    the kinds ``connection-over``, ``not-trusted`` and ``protocol-broken``.
    """
    return Client(url, allow, dict(options), "connect")


def start(url: str, *, allow: Permission | None = None, **options: Unpack[_options.Options]) -> Client:
    """As `connect`, with enhanced authentication: continue with `Client.next_step`."""
    return Client(url, allow, dict(options), "start")


class Client:
    """A client. Several threads may use it: while one waits for a message, others publish.

    A ``timeout`` is in seconds; None waits for ever. Calls without one block for at most the response timeout.
    """

    def __init__(self, url: str, allow: Permission | None, options: dict[str, Any], how: str) -> None:
        fallbacks = options.get("fallbacks", ())
        urls = [url, *([fallbacks] if isinstance(fallbacks, str) else fallbacks)]
        if options.get("proxy"):
            urls.append(options["proxy"])
        permissions = Permissions(urls, allow)
        is_secure = any(each.lower().startswith(("mqtts:", "wss:")) for each in urls)
        self._lock = threading.RLock()
        self._is_closed = False
        # Rung by threads that change what those that wait should know.
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._waiting = 0
        self._network = Network(permissions.may_look_up, permissions.found, permissions.may_connect)
        self._instance = Instance("mqtt-tls" if is_secure else "mqtt", self._network)
        try:
            filled = _options.make(self._instance, options)
            try:
                self._client: int = self._instance.call(how, url, filled)
            finally:
                self._instance.drop("connect-options", filled)
        except BaseException:
            self._release()
            raise

    # Publishing

    def publish(
        self,
        topic: str,
        payload: Payload = "",
        *,
        qos: int = 0,
        retain: bool = False,
        message_expiry_interval_seconds: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        topic_alias: int | None = None,
        user_properties: UserProperties = (),
    ) -> int:
        """Publishes a message; returns the Reason Code: 0, or 0x10 if nobody has subscribed to the topic.

        Raises `MqttError`: ``publish-refused``, ``timeout``, ``invalid-argument``, and what ends connections.
        """
        message = Publication(
            topic,
            payload,
            qos,
            retain,
            message_expiry_interval_seconds,
            content_type,
            response_topic,
            correlation_data,
            topic_alias,
            user_properties,
        ).to_wit()
        if message["properties"]:
            answer = self._call("publish-message", message)
            return int(answer["code"])
        return int(self._call("publish", topic, message["payload"], message["qos"], retain))

    def publish_batch(self, messages: Iterable[Publication]) -> list[int | MqttError]:
        """Publishes messages in order, many at a time; returns the Reason Code or the failure of each."""
        results = self._call("publish-batch", [message.to_wit() for message in messages])
        return [of_failure(value) if case == "err" else value for case, value in results]

    def publish_packed(self, messages: Iterable[Publication]) -> dict[int, MqttError]:
        """As `publish_batch`, several times as fast; returns the failures only, by the position of the message."""
        with self._lock:
            self._check_open()
            unpublished = self._instance.call("bulk#publish-packed", self._client, pack(messages))
            self._ring()
        return {each["index"]: of_failure(each["failure"]) for each in unpublished}

    def enqueue(self, topic: str, payload: Payload = "", *, qos: int = 0, retain: bool = False) -> None:
        """Puts a message into the outbound buffer: `flush` sends it, or the next call that blocks."""
        self._call("enqueue", topic, payload_to_wit(payload), qos_to_wit(qos), retain)

    def flush(self) -> None:
        """Sends everything that waits to be sent."""
        self._call("flush")

    # Subscribing

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
        """Subscribes to a Topic Filter, with the highest QoS that messages are delivered with. Returns the granted QoS.

        Raises `MqttError`: ``subscribe-refused``, ``invalid-argument``, ``timeout``, and what ends connections.
        """
        options = {
            "no_local": no_local,
            "retain_as_published": retain_as_published,
            "retained_if_new": retain_handling == 1,
            "no_retained": retain_handling == 2,
        }
        chosen = {name for name, is_chosen in options.items() if is_chosen}
        more = pairs(user_properties)
        if not chosen and identifier is None and not more:
            return QOS.index(self._call("subscribe", filter, qos_to_wit(qos)))
        subscription = {"filter": filter, "maximum_qos": qos_to_wit(qos), "options": chosen}
        answer = self._call("subscribe-with", [subscription], identifier, more)
        code: int = answer["codes"][0]
        if code < 0x80:
            return code
        words = f"the broker refused to subscribe to {filter}: {self.reason_name(code) or code}"
        if answer["reason_string"]:
            words += f', "{answer["reason_string"]}"'
        raise MqttError("refused", "subscribe-refused", words, code)

    def unsubscribe(self, filter: str) -> None:
        """Unsubscribes from a Topic Filter."""
        self._call("unsubscribe", filter)

    # Receiving

    def receive(self, timeout: float | None = None) -> Message | None:
        """Returns the next message. None: none came within the timeout; 0 takes only what is there.

        Raises `MqttError`: what ended the connection.
        """
        found = self._wait(lambda: self._call("receive", 0), timeout)
        return message_of_wit(found) if found is not None else None

    def receive_batch(self, max_messages: int, timeout: float | None = None) -> list[Message]:
        """Waits as `receive`, and then takes all messages that are there."""
        if max_messages == 0:
            return []
        found = self._wait(lambda: self._call("receive-batch", max_messages, 0) or None, timeout)
        return [message_of_wit(each) for each in found or ()]

    def messages(self) -> Iterator[Message]:
        """The messages, one after the other, until this client is disconnected by its user."""
        return self._each(lambda: self.receive())

    def __iter__(self) -> Iterator[Message]:
        return self.messages()

    def acknowledge(self, message: Message) -> bool:
        """Acknowledges a message, with ``acknowledge_by_hand``. Returns whether it was still to be acknowledged."""
        return message.delivery is not None and bool(self._call("acknowledge", message.delivery))

    # Requests and replies

    def request(self, topic: str, payload: Payload = "", *, timeout: float = 30.0, **properties: Any) -> Message:
        """Publishes a request, and returns the reply. ``properties`` are those of `publish`.

        Raises `MqttError`: ``timeout``, ``no-responder``, ``request-failed``, ``replies-refused``, and as `publish`.
        """
        message = Publication(topic, payload, **properties).to_wit()
        request: int = self._call("start-request", message, _ms(timeout))
        try:
            # The component ends it in time.
            reply = self._wait(lambda: self._look_for_reply(request), None)
        except BaseException:
            with contextlib.suppress(MqttError):
                self._call("cancel-request", request)
            raise
        assert reply is not None
        return message_of_wit(reply)

    def next_request(self, timeout: float | None = None) -> Request | None:
        """Returns the next request to answer; None: none came within the timeout."""
        found = self._wait(lambda: self._call("next-request", 0), timeout)
        if found is None:
            return None
        return Request(found["id"], message_of_wit(found["message"]), found["wants_reply"], found["remaining_ms"])

    def requests(self) -> Iterator[Request]:
        """The requests to answer, one after the other."""
        return self._each(lambda: self.next_request())

    def reply(self, request: Request, payload: Payload = "", **properties: Any) -> None:
        """Sends the reply. ``properties``: ``content_type`` and ``user_properties``."""
        listed = Publication("", payload, **properties).to_wit()["properties"]
        self._call("reply-with", request.id, payload_to_wit(payload), listed)

    def fail_request(self, request: Request, why: str) -> None:
        """Tells the requester that its request failed, and why."""
        self._call("fail-request", request.id, why)

    def release_request(self, request: Request) -> None:
        """Lets a request go without a reply."""
        self._call("release-request", request.id)

    # The connection

    @property
    def info(self) -> dict[str, Any]:
        """What the broker sent when it accepted the connection."""
        return dict(self._call("info"))

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as is known without looking."""
        return not self._is_closed and bool(self._call("is-connected"))

    @property
    def stats(self) -> dict[str, int]:
        """Counters, by name."""
        return dict(self._call("stats"))

    @property
    def last_failure(self) -> MqttError | None:
        """Why the last connection ended, or the last attempt to make one failed."""
        failure = self._call("last-failure")
        return None if failure is None else of_failure(failure)

    def messages_in_flight(self) -> list[dict[str, Any]]:
        """The QoS 1 and 2 messages that are in flight to the broker."""
        return list(self._call("messages-in-flight"))

    def give_up_message(self, id: int) -> bool:
        """Gives up a message that is in flight."""
        return bool(self._call("give-up-message", id))

    def next_event(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Returns the next event: what happened to the connection. None: nothing happened within the timeout."""
        return self._wait(lambda: self._call("next-event", 0), timeout)

    def events(self) -> Iterator[dict[str, Any]]:
        """The events, one after the other."""
        return self._each(lambda: self.next_event())

    def snapshot(self) -> bytes:
        """The session, for a later client to continue, with the option ``snapshot``."""
        return bytes(self._call("snapshot"))

    def update(self, **options: Unpack[_options.Options]) -> None:
        """Changes what the next connection is made with."""
        with self._lock:
            filled = _options.make(self._instance, dict(options))
            try:
                self._call("update", filled)
            finally:
                self._instance.drop("connect-options", filled)

    def reconnect(self) -> bool:
        """Connects again; returns whether the broker still had the session."""
        return bool(self._call("reconnect"))

    def next_step(self) -> dict[str, Any]:
        """Waits for the broker's next step of the authentication."""
        return dict(self._call("next-step"))

    def answer_challenge(self, data: bytes) -> None:
        """Answers a challenge."""
        self._call("answer-challenge", data)

    def authenticate_again(self, data: bytes) -> None:
        """Authenticates again over this connection."""
        self._call("authenticate-again", data)

    def disconnect(
        self,
        *,
        reason_code: int | None = None,
        session_expiry_interval_seconds: int | None = None,
        reason_string: str | None = None,
        user_properties: UserProperties = (),
    ) -> None:
        """Sends what waits to be sent, then DISCONNECT, and ends this client. Does nothing the second time."""
        with self._lock:
            if self._is_closed:
                return
            disconnection = {
                "code": reason_code,
                "session_expiry_interval_seconds": session_expiry_interval_seconds,
                "reason_string": reason_string,
                "user_properties": pairs(user_properties),
            }
            is_plain = reason_code is None and session_expiry_interval_seconds is None and reason_string is None
            is_plain = is_plain and not disconnection["user_properties"]
            try:
                self._call("disconnect", None if is_plain else disconnection)
            finally:
                self.close()

    def close(self) -> None:
        """Cuts the connection, and ends this client: the broker publishes the Will Message."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._ring()
            self._instance.drop("client", self._client)
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def __del__(self) -> None:
        # What was never connected has no sockets either.
        network = getattr(self, "_network", None)
        if network:
            network.close()

    # Helpers

    def topic_matches(self, filter: str, topic: str) -> bool:
        """Whether a Topic Filter matches a Topic Name."""
        with self._lock:
            return bool(self._instance.call("topic-matches", filter, topic))

    def reason_name(self, code: int) -> str | None:
        """The specification's name of a Reason Code."""
        with self._lock:
            name: str | None = self._instance.call("reason-name", code)
            return name

    def _call(self, method: str, *values: Any) -> Any:
        with self._lock:
            self._check_open()
            result = self._instance.call("[method]client." + method, self._client, *values)
            self._ring()
            return result

    def _check_open(self) -> None:
        if self._is_closed:
            raise MqttError("connection-over", "not-connected", "the client was disconnected: connect again")

    def _ring(self) -> None:
        """What a thread waits for may have come by another's call."""
        if self._waiting:
            with contextlib.suppress(BlockingIOError):
                self._ringer.send(b"!")

    def _wait(self, look: Callable[[], T | None], timeout: float | None) -> T | None:
        """Looks until something is there. The client is free for other threads between."""
        until = None if timeout is None else time.monotonic() + _ms(timeout) / 1000
        while True:
            with self._lock:
                reads = self._network.reads
                found = look()
                if found is not None:
                    return found
                if until is not None and time.monotonic() >= until:
                    return None
                # What was read may not all have been looked at.
                if self._network.reads != reads:
                    continue
                deadline = self._call("deadline-ms")
                wake = until
                if deadline is not None:
                    due = time.monotonic() + deadline / 1000
                    wake = due if wake is None else min(wake, due)
                self._waiting += 1
            try:
                self._network.idle(wake, self._bell)
            finally:
                with self._lock:
                    self._waiting -= 1
                    self._network.send_unsent()
                    if self._waiting == 0:
                        self._silence()

    def _look_for_reply(self, request: int) -> Any:
        try:
            return self._call("wait-for-reply", request, 0)
        except MqttError as error:
            # As long as another thread takes the messages, the reply comes.
            if error.name == "answer-behind-messages" and self._waiting:
                return None
            raise

    def _each(self, take: Callable[[], T | None]) -> Iterator[T]:
        while True:
            try:
                taken = take()
            except MqttError:
                # The end by this client's own user is no error.
                if self._is_closed:
                    return
                raise
            if taken is not None:
                yield taken

    def _silence(self) -> None:
        if self._is_closed:
            self._bell.close()
            return
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)

    def _release(self) -> None:
        self._is_closed = True
        self._network.close()
        self._ringer.close()
        # The last thread that waits does it otherwise.
        if self._waiting == 0:
            self._bell.close()


def _ms(seconds: float) -> int:
    if not seconds >= 0:
        raise MqttError("wrong-call", "invalid-argument", "a timeout is a number of seconds, from 0 on")
    return min(-int(-seconds * 1000 // 1), _MOST_MS) if seconds < _MOST_MS else _MOST_MS
