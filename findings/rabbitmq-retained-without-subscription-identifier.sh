#!/usr/bin/env bash
# One would guess: a message that comes for a subscription has the Subscription Identifier of it, retained or not: the
# server "MUST send those Subscription Identifiers in the message which is published as the result of the subscriptions"
# [MQTT-3.3.4-3]. And with Retain Handling 1 retained messages come "only if the subscription does not currently exist"
# (section 3.8.3.1), so a subscription that is changed gets none.
#
# What happens: in RabbitMQ only what is published after SUBSCRIBE has the Subscription Identifier. Retained messages
# come without. With Retain Handling 1 they come again when the maximum QoS, Retain As Published or the Subscription
# Identifier is another than before. They do not when SUBSCRIBE is the same.
#
# Versions: RabbitMQ 4.0.5-6+deb13u2 (Debian 13), 4.3.6-1 (Debian forky).
#
# Why it matters: a client that finds the callback for a message by its Subscription Identifier has none for retained
# ones: what was to tell the present state never reaches the program, and all that comes later does.
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
import concurrent.futures
import sys

from brokers import running
from mqtt import Client, packet, text

RETAIN_AS_PUBLISHED, ONLY_IF_NEW = 0x08, 0x10


def subscribe(client, options, identifier):
    """Subscribes to the topic of all messages here."""
    kind, body = client.exchange(packet(0x82, bytes([0, 1, 2, 0x0B, identifier]) + text("state") + bytes([options])))
    assert (kind, body[-1]) == (0x90, options & 3), "not subscribed"


def publish(client, payload, is_retained):
    kind, _ = client.exchange(packet(0x32 | is_retained, text("state") + b"\0\x09\0" + payload.encode()))
    assert kind == 0x40, "no PUBACK"


def came(client):
    messages = []
    while message := client.receive(timeout=1):
        identifier = "none"
        if message.properties:
            assert (message.properties[0], len(message.properties)) == (0x0B, 2), "another property"
            identifier = message.properties[1]
        messages.append(f"{message.payload}, RETAIN {int(message.is_retained)}, Subscription Identifier {identifier}")
    return " and ".join(messages) or "nothing"


def run(program, name):
    lines = []
    with running(program, name) as address:
        publisher, client = Client(address, "publisher"), Client(address, "client")
        publish(publisher, "old", True)
        subscribe(client, 1, 5)
        lines.append(f"subscribed: {came(client)}")
        publish(publisher, "new", False)
        lines.append(f"published: {came(client)}")
        client = Client(address, "other")
        for what, options, identifier in (
            ("new", 1, 5),
            ("the same", 1, 5),
            ("QoS 0", 0, 5),
            ("QoS 0, Retain As Published", RETAIN_AS_PUBLISHED, 5),
            ("QoS 0, Retain As Published, other identifier", RETAIN_AS_PUBLISHED, 6),
            ("the same", RETAIN_AS_PUBLISHED, 6),
        ):
            subscribe(client, options | ONLY_IF_NEW, identifier)
            lines.append(f"Retain Handling 1, {what}: {came(client).split(', ')[0]}")
    return lines


program, *names = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor() as pool:
    for name, lines in zip(names, pool.map(run, [program] * len(names), names)):
        print(name, *lines, sep="\n  ")
PY

cat > expected <<'TABLE'
RabbitMQ 4.0.5-6+deb13u2, 4.3.6-1
rabbitmq-4.0
  subscribed: old, RETAIN 1, Subscription Identifier none
  published: new, RETAIN 0, Subscription Identifier 5
  Retain Handling 1, new: old
  Retain Handling 1, the same: nothing
  Retain Handling 1, QoS 0: old
  Retain Handling 1, QoS 0, Retain As Published: old
  Retain Handling 1, QoS 0, Retain As Published, other identifier: old
  Retain Handling 1, the same: nothing
rabbitmq-4.3
  subscribed: old, RETAIN 1, Subscription Identifier none
  published: new, RETAIN 0, Subscription Identifier 5
  Retain Handling 1, new: old
  Retain Handling 1, the same: nothing
  Retain Handling 1, QoS 0: old
  Retain Handling 1, QoS 0, Retain As Published: old
  Retain Handling 1, QoS 0, Retain As Published, other identifier: old
  Retain Handling 1, the same: nothing
TABLE

"$broker" install rabbitmq-4.0 rabbitmq-4.3 2>/dev/null
{
  echo "RabbitMQ $("$broker" version rabbitmq-4.0), $("$broker" version rabbitmq-4.3)"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python3 clients.py "$broker" rabbitmq-4.0 rabbitmq-4.3
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
