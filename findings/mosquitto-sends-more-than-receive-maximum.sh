#!/usr/bin/env bash
# One would guess: a server has at most as many PUBLISH packets of QoS 1 and 2 on their way to a client as the client's
# Receive Maximum says, until it gets PUBACK ([MQTT-3.3.4-9]). What is over that waits in a queue, and each PUBACK lets
# one more out of it.
#
# What happens: mosquitto 2.0.11 sends two messages out of its queue for each PUBACK. With ten messages and a Receive
# Maximum of 2, six are without a PUBACK at the same time. It is the same for a client that was away and for one that is
# slow, and for a shared subscription. mosquitto 2.1.2 has two. But in both, a session that had five without a PUBACK,
# and is resumed with a Receive Maximum of 2, gets all five again at once, and the next one for each PUBACK.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), 2.1.2-3 (Debian forky).
#
# Why it matters: a client that has room for as many messages as it said has to end the connection, with 0x93 Receive
# Maximum exceeded, at the first queue that its broker has for it. And a program whose new release has a smaller Receive
# Maximum has to do that each time that it connects, until its session expires.
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
import struct
import sys

from mosquitto import Mosquitto
from mqtt import Client, Message, packet

RECEIVE_MAXIMUM = 2
LARGER_MAXIMUM = 5
MESSAGES = 10


def connect(mosquitto, identifier, clean_start, receive_maximum=RECEIVE_MAXIMUM):
    maximum = b"\x21" + struct.pack(">H", receive_maximum)
    return Client(mosquitto.address, identifier, clean_start=clean_start, expiry=600, properties=maximum)


def without_a_puback(client):
    """The messages that come without another PUBACK: whatever was sent before PINGRESP."""
    client.socket.sendall(packet(0xC0, b""))
    messages = []
    while True:
        first, body = client.read()
        if first == 0xD0:
            return messages
        messages.append(Message(first, body))


def try_subscription(mosquitto, name, topic_filter, is_away):
    client = connect(mosquitto, name, True)
    client.subscribe(topic_filter)
    if is_away:
        client.disconnect()
    publisher = Client(mosquitto.address, "publisher")
    for job in range(MESSAGES):
        publisher.publish(name, str(job))
    publisher.disconnect()
    if is_away:
        client = connect(mosquitto, name, False)
    what = ("shared, " if "$" in topic_filter else "") + ("away" if is_away else "slow")
    take_all(client, what)


def take_all(client, what):
    """Acknowledges one message after the other, and tells how many are without a PUBACK before and after each."""
    on_their_way = without_a_puback(client)
    counts, came = [len(on_their_way)], len(on_their_way)
    while on_their_way:
        client.socket.sendall(packet(0x40, on_their_way.pop(0).identifier))
        more = without_a_puback(client)
        came += len(more)
        on_their_way += more
        counts.append(len(on_their_way))
    assert came == MESSAGES, f"{came} messages came"
    client.disconnect()
    print(f"  {what}: after each PUBACK {' '.join(map(str, counts))}")


def try_smaller_maximum(mosquitto):
    name = "smaller"
    client = connect(mosquitto, name, True, LARGER_MAXIMUM)
    client.subscribe(name)
    publisher = Client(mosquitto.address, "publisher")
    for job in range(MESSAGES):
        publisher.publish(name, str(job))
    publisher.disconnect()
    assert len(without_a_puback(client)) == LARGER_MAXIMUM, "not as many as it may have"
    client.socket.close()
    take_all(connect(mosquitto, name, False), f"had {LARGER_MAXIMUM}, resumed")


with Mosquitto(*sys.argv[1:]) as mosquitto:
    for is_away in (True, False):
        for shared in ("", "$share/workers/"):
            name = f"jobs/{int(is_away)}{len(shared)}"
            try_subscription(mosquitto, name, shared + name, is_away)
    try_smaller_maximum(mosquitto)
PY

cat > expected <<'TABLE'
mosquitto 2.0.11-1.2+deb12u2
  away: after each PUBACK 2 3 4 5 6 5 4 3 2 1 0
  shared, away: after each PUBACK 2 3 4 5 6 5 4 3 2 1 0
  slow: after each PUBACK 2 3 4 5 6 5 4 3 2 1 0
  shared, slow: after each PUBACK 2 3 4 5 6 5 4 3 2 1 0
  had 5, resumed: after each PUBACK 5 6 7 7 6 5 4 3 2 1 0
mosquitto 2.1.2-3
  away: after each PUBACK 2 2 2 2 2 2 2 2 2 1 0
  shared, away: after each PUBACK 2 2 2 2 2 2 2 2 2 1 0
  slow: after each PUBACK 2 2 2 2 2 2 2 2 2 1 0
  shared, slow: after each PUBACK 2 2 2 2 2 2 2 2 2 1 0
  had 5, resumed: after each PUBACK 5 5 5 5 5 5 4 3 2 1 0
TABLE

"$broker" install mosquitto-2.0 mosquitto-2.1 2>/dev/null
for name in mosquitto-2.0 mosquitto-2.1; do
  echo "mosquitto $("$broker" version "$name")"
  PYTHONPATH=$here python3 clients.py "$work/mqtt-wasi/brokers/$name/usr/sbin/mosquitto" "$name"
done > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
