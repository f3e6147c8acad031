#!/usr/bin/env bash
# One would guess: a broker hands the User Properties of a message on as they were published. MQTT v5.0 says so: they
# must be sent on unaltered [MQTT-3.3.2-17] and in the same order [MQTT-3.3.2-18].
#
# What happens: the broker of the crate mqtt5 drops each User Property that is named `x-mqtt-client-id` or
# `x-mqtt-sender`, and adds an `x-mqtt-client-id` with the Client Identifier of the publisher, behind the others. It does
# so for every message, also for one without properties and for a Will Message, and no setting turns it off. The message
# grows by this: a subscriber whose Maximum Packet Size is large enough for the message as published, but not with the
# addition, never gets it, though it asked for QoS 1 and the publisher was told Success.
#
# Versions: mqtt5 0.49.0 with the feature broker.
#
# Why it matters: it is a broker to embed in tests of MQTT clients. A test that compares the properties received with
# those published fails, a size computed from what was published is too small, and an application whose own protocol has
# a property of one of these names loses it.
#
# Needs cargo and python3. Broker and clients use loopback and a port that the system chooses.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CARGO_TARGET_DIR="$work/target"
mkdir src

cat > Cargo.toml <<'TOML'
[package]
name = "broker"
version = "0.0.0"
edition = "2024"

[dependencies]
mqtt5 = { version = "=0.49.0", default-features = false, features = ["broker"] }
tokio = { version = "1", features = ["macros", "rt"] }

[profile.dev]
debug = false

[workspace]
TOML

cat > src/main.rs <<'RUST'
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::server::MqttBroker;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut config = BrokerConfig { bind_addresses: vec!["127.0.0.1:0".parse().unwrap()], ..Default::default() };
    config.auth_config.allow_anonymous = true;
    config.storage_config.enable_persistence = false;
    let mut broker = MqttBroker::with_config(config).await.unwrap();
    println!("{}", broker.local_addr().unwrap().port());
    broker.run().await.unwrap();
}
RUST

cat > clients.py <<'PY'
import socket
import struct
import subprocess
import sys


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


def number(value):
    # A Variable Byte Integer. All here are small.
    assert value < 128
    return bytes([value])


def packet(first, body):
    return bytes([first]) + number(len(body)) + body


def user_properties(pairs):
    encoded = b"".join(b"\x26" + text(name) + text(value) for name, value in pairs)
    return number(len(encoded)) + encoded


def publish_packet(topic, identifier, pairs, payload):
    return packet(0x32, text(topic) + struct.pack(">H", identifier) + user_properties(pairs) + payload)


class Client:
    def __init__(self, port, identifier, properties=b"", will=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        flags = 0x02 if will is None else 0x06
        body = text("MQTT") + bytes([5, flags, 0, 60]) + number(len(properties)) + properties + text(identifier)
        if will is not None:
            body += b"\0" + text(will) + text("gone")
        self.socket.sendall(packet(0x10, body))
        kind, body = self.read()
        assert (kind, body[1]) == (0x20, 0), "refused"

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the broker closed the connection"
            data += more
        return data

    def read(self):
        first = self.exactly(1)[0]
        length = shift = 0
        while True:
            byte = self.exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return first, self.exactly(length)

    def subscribe(self, topic):
        self.socket.sendall(packet(0x82, b"\0\x01\0" + text(topic) + b"\x01"))
        kind, body = self.read()
        assert (kind, body[-1]) == (0x90, 1), "not subscribed"

    def publish(self, topic, pairs, payload=b"20"):
        self.socket.sendall(publish_packet(topic, 9, pairs, payload))
        kind, body = self.read()
        assert kind == 0x40
        return "Success" if len(body) == 2 or body[2] == 0 else hex(body[2])

    def receive(self):
        """The User Properties and the payload of the next message."""
        kind, body = self.read()
        assert kind & 0xF0 == 0x30
        at = 2 + struct.unpack(">H", body[:2])[0]
        if kind & 0x06:
            self.socket.sendall(packet(0x40, body[at : at + 2]))
            at += 2
        end = at + 1 + body[at]
        at += 1
        pairs = []
        while at < end:
            assert body[at] == 0x26, "another property than a User Property"
            at += 1
            pair = []
            for _ in range(2):
                length = struct.unpack(">H", body[at : at + 2])[0]
                pair.append(body[at + 2 : at + 2 + length].decode())
                at += 2 + length
            pairs.append(tuple(pair))
        return pairs, body[end:]


def line(pairs):
    return ", ".join(f"{name}={value}" for name, value in pairs) or "none"


def main():
    broker = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE)
    try:
        port = int(broker.stdout.readline())
        subscriber = Client(port, "subscriber")
        subscriber.subscribe("t")
        publisher = Client(port, "line-7", will="t")
        for pairs in (
            [],
            [("unit", "C")],
            [("x-mqtt-client-id", "device-9"), ("x-mqtt-sender", "operator-2"), ("unit", "C")],
        ):
            publisher.publish("t", pairs)
            print("published:", line(pairs))
            print("received: ", line(subscriber.receive()[0]))
        publisher.socket.close()
        print("will:      none")
        print("received: ", line(subscriber.receive()[0]))

        limit = 60
        small = Client(port, "small", properties=b"\x27" + struct.pack(">I", limit))
        small.subscribe("s")
        publisher = Client(port, "line-7")
        print(f"to a subscriber that takes packets of up to {limit} bytes")
        for payload in (b"first" * 8, b"second"):
            size = len(publish_packet("s", 9, [], payload))
            print(f"published: {payload[:6].decode()}..., {size} bytes: {publisher.publish('s', [], payload)}")
        # Of one publisher and topic, messages come in the order in which they were published.
        print(f"received first: {small.receive()[1][:6].decode()}...")
    finally:
        broker.kill()
        broker.wait()


main()
PY

cat > expected <<'TABLE'
published: none
received:  x-mqtt-client-id=line-7
published: unit=C
received:  unit=C, x-mqtt-client-id=line-7
published: x-mqtt-client-id=device-9, x-mqtt-sender=operator-2, unit=C
received:  unit=C, x-mqtt-client-id=line-7
will:      none
received:  x-mqtt-client-id=line-7
to a subscriber that takes packets of up to 60 bytes
published: firstf..., 48 bytes: Success
published: second..., 14 bytes: Success
received first: second...
TABLE

cargo build --quiet
cargo tree --quiet --depth 1 --prefix none | grep '^mqtt5 '
python3 clients.py target/debug/broker > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
