"""A client of MQTT v5.0 in plain bytes, for the scripts in this folder: it sends what it is told, and shows what comes."""

import socket
import struct


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


def number(value):
    """A Variable Byte Integer."""
    encoded = bytearray()
    while True:
        value, digit = divmod(value, 128)
        encoded.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


def packet(first, body):
    return bytes([first]) + number(len(body)) + body


class Message:
    """A PUBLISH that came."""

    def __init__(self, first, body):
        end = 2 + struct.unpack(">H", body[:2])[0]
        self.topic = body[2:end].decode()
        self.qos = first >> 1 & 3
        self.is_duplicate = bool(first & 8)
        self.is_retained = bool(first & 1)
        self.identifier = None
        if self.qos:
            self.identifier = body[end : end + 2]
            end += 2
        assert body[end] < 128, "more properties than any script here expects"
        properties, self.payload = body[end + 1 : end + 1 + body[end]], body[end + 1 + body[end] :].decode()
        self.properties = properties
        self.alias = struct.unpack(">H", properties[1:3])[0] if properties[:1] == b"\x23" else None


class Client:
    """A connection, which is made and answered by CONNACK when there is one of these.

    The will is a topic and a Will Delay Interval. Its payload is "gone".
    """

    def __init__(self, address, identifier, clean_start=True, expiry=0, properties=b"", will=None):
        self.socket = socket.create_connection(address, timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if expiry:
            properties += b"\x11" + struct.pack(">I", expiry)
        flags = (0x02 if clean_start else 0) | (0x04 if will else 0)
        body = text("MQTT") + bytes([5, flags, 0, 60]) + number(len(properties)) + properties + text(identifier)
        if will:
            topic, delay = will
            body += b"\x05\x18" + struct.pack(">I", delay) + text(topic) + text("gone")
        kind, body = self.exchange(packet(0x10, body))
        assert (kind, body[1]) == (0x20, 0), "refused"
        self.session_present = bool(body[0])
        self.aliases = {}

    def exchange(self, sent):
        self.socket.sendall(sent)
        return self.read()

    def read(self):
        """The next packet: its first byte, and what follows its length."""
        first = self._exactly(1)[0]
        length = shift = 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, self._exactly(length)

    def subscribe(self, topic):
        kind, body = self.exchange(packet(0x82, b"\0\x01\0" + text(topic) + b"\x01"))
        assert (kind, body[-1]) == (0x90, 1), "not subscribed"

    def publish(self, topic, payload, identifier=9, properties=b""):
        """Publishes at QoS 1, and returns the Reason Code of PUBACK."""
        body = text(topic) + struct.pack(">H", identifier) + number(len(properties)) + properties + payload.encode()
        kind, body = self.exchange(packet(0x32, body))
        assert kind == 0x40, "no PUBACK"
        return body[2] if len(body) > 2 else 0

    def receive(self, timeout=None):
        """The next message, acknowledged; none if none comes within the time."""
        self.socket.settimeout(timeout or 20)
        try:
            first, body = self.read()
        except TimeoutError:
            if timeout is None:
                raise
            return None
        assert first & 0xF0 == 0x30, "another packet than PUBLISH"
        message = Message(first, body)
        if message.qos:
            self.socket.sendall(packet(0x40, message.identifier))
        return message

    def topic(self, message):
        """The topic of a message, or of its Topic Alias."""
        if message.topic and message.alias:
            self.aliases[message.alias] = message.topic
        return message.topic or self.aliases[message.alias]

    def disconnect(self):
        """Closes the connection, and waits until the server has, too."""
        self.socket.sendall(packet(0xE0, b""))
        self.socket.shutdown(socket.SHUT_WR)
        while self.socket.recv(4096):
            pass
        self.socket.close()

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the server closed the connection"
            data += more
        return data
