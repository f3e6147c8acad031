#!/usr/bin/env bash
# One would guess: after a restart of a mosquitto with `persistence`, Session Present 1 says that all subscriptions of
# the Session are there (MQTT v5.0, section 4.1), shared ones too. And what a member of a group leaves without an answer
# goes to another member when the Session ends, as the Server should do (section 4.8.2).
#
# What happens: shared subscriptions are not in what mosquitto saves. After a restart CONNACK has Session Present 1, the
# messages that were queued come, the ordinary subscriptions work, and nothing comes for the shared one: UNSUBSCRIBE
# says 0x11 No subscription existed. Whoever publishes gets 0x10 No matching subscribers. While mosquitto runs, a member
# that is away with its Session gets its turn: every other message waits for it. What a member has not answered when its
# Session ends is lost, while other members are connected.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), 2.1.2-3 (Debian forky).
#
# Why it matters: a worker that subscribes only when Session Present is 0 is connected and gets nothing from the restart
# on. Groups of workers look like a queue that keeps what nobody has taken, and are none.
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
import os
import sys

from mosquitto import Mosquitto
from mqtt import Client, Message, packet, text


def member(address, name, expiry=600):
    # Clean Start 0: otherwise mosquitto does not save the session.
    return Client(address, name, clean_start=False, expiry=expiry)


def publish(address, topic, *payloads):
    publisher = Client(address, "publisher")
    reasons = [publisher.publish(topic, payload) for payload in payloads]
    publisher.disconnect()
    return reasons


def take(client, is_answered=True):
    """What comes until a second is without a message."""
    taken = []
    client.socket.settimeout(1)
    while True:
        try:
            first, body = client.read()
        except TimeoutError:
            return ", ".join(taken) or "none"
        assert first & 0xF0 == 0x30, "another packet than PUBLISH"
        message = Message(first, body)
        taken.append(message.payload)
        if is_answered:
            client.socket.sendall(packet(0x40, message.identifier))


def restart(mosquitto):
    address = mosquitto.address
    topics = {"shared": "$share/workers/jobs", "ordinary": "news"}
    worker = member(address, "worker")
    for topic in topics.values():
        worker.subscribe(topic)
    worker.disconnect()
    publish(address, "jobs", "queued job")
    publish(address, "news", "queued news")
    mosquitto.restart()
    print("  after a restart")
    worker = member(address, "worker")
    print(f"    Session Present {int(worker.session_present)}, queued: {take(worker)}")
    for kind, topic, payload in (("shared", "jobs", "new job"), ("ordinary", "news", "new news")):
        (reason,) = publish(address, topic, payload)
        came = take(worker)
        kind_of_packet, body = worker.exchange(packet(0xA2, b"\0\x02\0" + text(topics[kind])))
        assert kind_of_packet == 0xB0, "no UNSUBACK"
        print(f"    {kind}: PUBACK {reason:#04x}, came: {came}; UNSUBACK {body[-1]:#04x}")
    worker.disconnect()


def group(address):
    names = ("one", "two")
    topic = "$share/group/tasks"
    one, two = (member(address, name) for name in names)
    one.subscribe(topic)
    two.subscribe(topic)
    two.disconnect()
    publish(address, "tasks", *"abcdef")
    print("  one of two members is away")
    print(f"    came to the other: {take(one)}")
    two = member(address, "two")
    print(f"    came to it when it was back: {take(two)}")
    one.disconnect()
    # Its session ends with the connection.
    one = member(address, "one", expiry=0)
    publish(address, "tasks", *"ghijkl")
    print("  the session of one of two members ends")
    print(f"    came to it, without an answer: {take(one, is_answered=False)}")
    print(f"    came to the other: {take(two)}")
    one.socket.close()
    print(f"    came to the other after that: {take(two)}")
    publish(address, "tasks", "m")
    print(f"    came to the other, published after that: {take(two)}")


program, folder = sys.argv[1:]
persistence = "persistence true", f"persistence_location {os.path.abspath(folder)}/"
with Mosquitto(program, folder, *persistence) as mosquitto:
    restart(mosquitto)
    group(mosquitto.address)
PY

cat > outcome <<'TABLE'
  after a restart
    Session Present 1, queued: queued job, queued news
    shared: PUBACK 0x10, came: none; UNSUBACK 0x11
    ordinary: PUBACK 0x00, came: new news; UNSUBACK 0x00
  one of two members is away
    came to the other: a, c, e
    came to it when it was back: b, d, f
  the session of one of two members ends
    came to it, without an answer: g, i, k
    came to the other: h, j, l
    came to the other after that: none
    came to the other, published after that: m
TABLE
{
  echo "mosquitto 2.0.11-1.2+deb12u2"
  cat outcome
  echo "mosquitto 2.1.2-3"
  cat outcome
} > expected

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
