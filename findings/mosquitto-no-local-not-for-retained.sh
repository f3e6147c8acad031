#!/usr/bin/env bash
# One would guess: with No Local 1, a client does not get what it published itself, retained or not: such messages "MUST
# NOT be forwarded to a connection with a ClientID equal to the ClientID of the publishing connection" [MQTT-3.8.3-3].
#
# What happens: mosquitto keeps to it for messages that are published while the client is subscribed. The retained
# message that it sends in answer to SUBSCRIBE comes, also if the client published it itself: in the same connection,
# and after a reconnect with the same Client Identifier.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), 2.1.2-3 (Debian forky).
#
# Why it matters: a client that publishes its state retained and takes the state of others with No Local, as a bridge
# does, gets its own state back each time that it subscribes. With Retain Handling 2 it does not, but then it gets
# nothing that others retained, either.
#
# Needs Debian's apt and dpkg, and python3. Brokers and clients use loopback and ports that the system chooses.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
broker=$here/../host-tests/brokers/broker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# Where the brokers are unpacked.
export XDG_CACHE_HOME=$work

cat > clients.py <<'PY'
import sys

from brokers import running
from mqtt import Client, Message, packet, text

NO_LOCAL = 0x04


def came(client):
    """The payloads that came before PINGRESP, acknowledged."""
    client.socket.sendall(packet(0xC0, b""))
    payloads = []
    while True:
        first, body = client.read()
        if first == 0xD0:
            return " ".join(payloads) or "nothing"
        if first & 0xF0 == 0x30:
            message = Message(first, body)
            payloads.append(message.payload)
            client.socket.sendall(packet(0x40, message.identifier))


def subscribe(client, retain_handling=0):
    options = retain_handling << 4 | NO_LOCAL | 1
    client.socket.sendall(packet(0x82, b"\0\x01\0" + text("state/+") + bytes([options])))
    return came(client)


def publish_retained(client, topic, payload):
    client.socket.sendall(packet(0x33, text(topic) + b"\0\x09\0" + payload.encode()))
    return came(client)


with running(sys.argv[1], sys.argv[2]) as address:
    other, client = Client(address, "other"), Client(address, "client")
    publish_retained(other, "state/1", "other")
    publish_retained(client, "state/2", "own")
    print(f"  subscribed, in the same connection: {subscribe(client)}")
    print(f"  published while subscribed: {publish_retained(client, 'state/2', 'own')}")
    client.disconnect()
    client = Client(address, "client")
    print(f"  subscribed, after a reconnect: {subscribe(client)}")
    print(f"  subscribed, with Retain Handling 2: {subscribe(client, 2)}")
PY

cat > expected <<'TABLE'
mosquitto 2.0.11-1.2+deb12u2
  subscribed, in the same connection: other own
  published while subscribed: nothing
  subscribed, after a reconnect: other own
  subscribed, with Retain Handling 2: nothing
mosquitto 2.1.2-3
  subscribed, in the same connection: other own
  published while subscribed: nothing
  subscribed, after a reconnect: other own
  subscribed, with Retain Handling 2: nothing
TABLE

"$broker" install mosquitto-2.0 mosquitto-2.1 2>/dev/null
for name in mosquitto-2.0 mosquitto-2.1; do
  echo "mosquitto $("$broker" version "$name")"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python3 clients.py "$broker" "$name"
done > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
