"""Many messages in one list, in the frames of the interface `bulk` (see `wit/bulk.wit`).

A message that is passed on as a record takes a call of the component for each of its texts. In a frame, all messages
together take one.
"""

from __future__ import annotations

import struct
from typing import Iterable

from ._error import wrong_call
from ._message import Publication, pairs

_HEAD = struct.Struct("<IIII")

# Identifiers of properties (section 2.2.2.2 of MQTT v5.0).
_PAYLOAD_FORMAT_INDICATOR = b"\x01\x01"
_MESSAGE_EXPIRY_INTERVAL = 0x02
_CONTENT_TYPE = 0x03
_RESPONSE_TOPIC = 0x08
_CORRELATION_DATA = 0x09
_TOPIC_ALIAS = 0x23
_USER_PROPERTY = 0x26


def pack(messages: Iterable[Publication]) -> bytearray:
    """Returns the frames of these messages."""
    frames = bytearray()
    for message in messages:
        payload, properties = message.payload, b""
        if isinstance(payload, str):
            payload, properties = payload.encode(), _PAYLOAD_FORMAT_INDICATOR
        elif not isinstance(payload, (bytes, bytearray, memoryview)):
            raise wrong_call("a payload is str or bytes")
        if type(message.qos) is not int or not 0 <= message.qos <= 2:
            raise wrong_call("this QoS does not exist: use 0, 1 or 2")
        properties += _properties(message)
        head = _prefixed(message.topic) + _variable(len(properties)) + properties
        length = payload.nbytes if isinstance(payload, memoryview) else len(payload)
        frames += _HEAD.pack(length, int(bool(message.retain)) | message.qos << 1, len(head), 0)
        frames += head
        frames += bytes(-len(head) % 8)
        frames += payload
        frames += bytes(-length % 8)
    return frames


def _properties(message: Publication) -> bytes:
    packed = b""
    if message.message_expiry_interval_seconds is not None:
        packed += _number(">BI", _MESSAGE_EXPIRY_INTERVAL, message.message_expiry_interval_seconds)
    if message.content_type is not None:
        packed += bytes([_CONTENT_TYPE]) + _prefixed(message.content_type)
    if message.response_topic is not None:
        packed += bytes([_RESPONSE_TOPIC]) + _prefixed(message.response_topic)
    if message.correlation_data is not None:
        packed += bytes([_CORRELATION_DATA]) + _prefixed(message.correlation_data)
    if message.topic_alias is not None:
        packed += _number(">BH", _TOPIC_ALIAS, message.topic_alias)
    for name, value in pairs(message.user_properties):
        packed += bytes([_USER_PROPERTY]) + _prefixed(name) + _prefixed(value)
    return packed


def _prefixed(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    if len(data) > 0xFFFF:
        raise wrong_call("a topic or a property has more than 65,535 bytes")
    return len(data).to_bytes(2, "big") + data


def _number(layout: str, identifier: int, value: int) -> bytes:
    try:
        return struct.pack(layout, identifier, value)
    except struct.error:
        raise wrong_call("a property has a number that is out of range") from None


def _variable(number: int) -> bytes:
    """A Variable Byte Integer (section 1.5.5)."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
