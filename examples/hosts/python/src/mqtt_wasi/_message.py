"""Messages, as Python has them and as the component has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Union

from ._error import wrong_call

Payload = Union[str, bytes, bytearray, memoryview]
UserProperties = Union[Mapping[str, str], Iterable[tuple[str, str]]]

#: Properties that a message has once at most.
_PROPERTIES = (
    "message_expiry_interval_seconds",
    "content_type",
    "response_topic",
    "correlation_data",
    "topic_alias",
)

QOS = ["at-most-once", "at-least-once", "exactly-once"]


@dataclass
class Message:
    """A received message."""

    topic: str
    #: Text with a Payload Format Indicator of 1, otherwise bytes.
    payload: str | bytes
    qos: int = 0
    retain: bool = False
    #: Whether the broker sent it again.
    duplicate: bool = False
    #: The number for `Client.acknowledge`; none where there is nothing to acknowledge.
    delivery: int | None = None
    message_expiry_interval_seconds: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: list[tuple[str, str]] = field(default_factory=list)
    subscription_identifiers: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The payload as text. What is not UTF-8 becomes U+FFFD."""
        return self.payload if isinstance(self.payload, str) else self.payload.decode("utf-8", "replace")

    @property
    def data(self) -> bytes:
        """The payload as bytes."""
        return self.payload.encode() if isinstance(self.payload, str) else self.payload

    def json(self) -> Any:
        """The payload, parsed as JSON."""
        return json.loads(self.payload)


@dataclass
class Request:
    """A request to answer, with `Client.reply`, `Client.fail_request` or `Client.release_request`."""

    id: int
    message: Message
    #: Whether the requester waits for a reply.
    wants_reply: bool
    #: How many milliseconds it still waits; none: not known.
    remaining_ms: int | None


@dataclass
class Publication:
    """A message to publish, with everything that it may have."""

    topic: str
    payload: Payload = ""
    qos: int = 0
    retain: bool = False
    message_expiry_interval_seconds: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    #: A number that stands for the topic.
    topic_alias: int | None = None
    user_properties: UserProperties = ()

    def to_wit(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "payload": payload_to_wit(self.payload),
            "qos": qos_to_wit(self.qos),
            "retain": self.retain,
            "properties": self._properties(),
        }

    def _properties(self) -> list[tuple[str, Any]]:
        properties: list[tuple[str, Any]] = []
        for name in _PROPERTIES:
            value = getattr(self, name)
            if value is not None:
                properties.append((name, value))
        properties.extend(("user_property", pair) for pair in pairs(self.user_properties))
        return properties


def qos_to_wit(qos: int) -> str:
    if type(qos) is not int or not 0 <= qos <= 2:
        raise wrong_call("this QoS does not exist: use 0, 1 or 2")
    return QOS[qos]


def payload_to_wit(payload: Payload) -> tuple[str, Any]:
    if isinstance(payload, str):
        return "text", payload
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return "bytes", payload
    kind = type(payload).__name__
    raise wrong_call(f"a payload is str or bytes, and not {kind}: use json.dumps or str for other values")


def pairs(properties: UserProperties) -> list[tuple[str, str]]:
    listed = properties.items() if isinstance(properties, Mapping) else properties
    return [(name, value) for name, value in listed]


def message_of_wit(wit: dict[str, Any]) -> Message:
    message = Message(
        wit["topic"],
        wit["payload"][1],
        QOS.index(wit["qos"]),
        wit["retain"],
        wit["duplicate"],
        wit["delivery"],
        subscription_identifiers=wit["subscription_identifiers"] or [],
    )
    for name, value in wit["properties"] or ():
        if name == "user_property":
            message.user_properties.append(value)
        else:
            setattr(message, name, value)
    return message
