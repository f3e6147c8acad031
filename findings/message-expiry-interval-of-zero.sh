#!/usr/bin/env bash
# One would guess: brokers agree on a Message Expiry Interval of 0, the shortest "lifetime of the Application Message in
# seconds" (MQTT v5.0, section 3.3.2.3.3): a client that is connected gets the message at once, and it is not kept. And
# a message that was published with an interval is delivered with one: "the received value minus the time that the
# Application Message has been waiting" [MQTT-3.3.2-6].
#
# What happens: RabbitMQ does so. mosquitto takes 0 for no interval: the message waits for a client, or is retained, for
# good, and is delivered without an interval. It does the same with 0 as what is left: a queued message is delivered up
# to a second after its time, without an interval, as one that never expires. ejabberd answers a message that has 0 with
# PUBACK Success and delivers it to nobody, connected or not. Longer intervals all three count down, RabbitMQ to the
# second below: most messages that were published with 1 come with 0, though at once.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), mosquitto 2.1.2-3, ejabberd 26.07-1, RabbitMQ 4.3.6-1 (all three
# from Debian forky).
#
# Why it matters: 0 does not say "only for those who listen now". With mosquitto a client gets the stale command when it
# is back, and with ejabberd nobody ever gets it, though it was a Success. A client that takes 0 for "too
# late" drops most of what was good for a second with RabbitMQ. And a bridge that publishes what it gets, with the
# interval that it came with, turns what had less than a second left into what has no interval for mosquitto.
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
import struct
import sys
import time

from brokers import running
from mqtt import Client, number, packet, text

# How many are published for a client that is connected. It is the least interval that is shown.
AT_ONCE = 20
# The Message Expiry Interval, what the message is, and for how many seconds it waits. Then what one would guess.
CASES = (
    (0, "at QoS 0", 0, "with 0"),
    (0, "at QoS 1", 0, "with 0"),
    (1, "at QoS 1", 0, "with 1"),
    (0, "queued", 1.5, "no"),
    (0, "retained", 1.5, "no"),
    (9, "queued", 4.5, "with 4-5"),
    (9, "retained", 4.5, "with 4-5"),
    (2, "queued", 1.5, "with 0-1"),
    (2, "queued", 2.5, "no"),
    (2, "retained", 2.5, "no"),
    (2, "queued", 4.5, "no"),
    (2, "retained", 4.5, "no"),
)


def publish(publisher, topic, kind, expiry):
    properties = b"\x02" + struct.pack(">I", expiry)
    properties_and_payload = number(len(properties)) + properties + b"message"
    if kind == "at QoS 0":
        publisher.socket.sendall(packet(0x30, text(topic) + properties_and_payload))
        return
    first = 0x33 if kind == "retained" else 0x32
    answer, body = publisher.exchange(packet(first, text(topic) + b"\0\x09" + properties_and_payload))
    reason = body[2] if len(body) > 2 else 0
    # Nobody has subscribed yet to what is retained.
    assert (answer, reason) == (0x40, 0x10 if kind == "retained" else 0), "not acknowledged"


def try_case(address, number_of_case):
    expiry, kind, wait, _ = CASES[number_of_case]
    name = f"case-{number_of_case}"
    subscriber = Client(address, name, expiry=600)
    publisher = Client(address, f"{name}-publisher")
    if kind != "retained":
        subscriber.subscribe(name)
    if kind == "queued":
        subscriber.disconnect()
        # ejabberd makes an exception of the first message that is queued: ejabberd-keeps-one-expired-message.sh.
        assert publisher.publish(name, "first") == 0, "no Success"
    # As the brokers count whole seconds of the clock, so does this.
    time.sleep(1.1 - time.time() % 1)
    if not wait:
        seen = []
        while len(seen) < AT_ONCE and "no" not in seen:
            publish(publisher, name, kind, expiry)
            seen.append(came(subscriber.receive(timeout=2)))
        # "no" is the least.
        return min(seen)
    publish(publisher, name, kind, expiry)
    time.sleep(wait)
    if kind == "queued":
        subscriber = Client(address, name, clean_start=False, expiry=600)
        assert subscriber.session_present, "no session"
        assert subscriber.receive().payload == "first", "another message"
    else:
        subscriber.subscribe(name)
    return came(subscriber.receive(timeout=2))


def came(message):
    if message is None:
        return "no"
    assert message.payload == "message", "another message"
    if not message.properties:
        return "without"
    assert (message.properties[0], len(message.properties)) == (2, 5), "another property"
    return f"with {struct.unpack('>I', message.properties[1:])[0]}"


def run(program, name):
    with running(program, name) as address, concurrent.futures.ThreadPoolExecutor(len(CASES)) as cases:
        return list(cases.map(lambda case: try_case(address, case), range(len(CASES))))


program, *names = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor() as pool:
    columns = list(pool.map(run, [program] * len(names), names))
row = "{:>8} {:9} {:>5}  {:9} {:13} {:13} {:9} {}".format
print(row("interval", "message", "waits", "guess", "mosquitto 2.0", "mosquitto 2.1", "ejabberd", "RabbitMQ"))
for case, (expiry, kind, wait, guess) in enumerate(CASES):
    print(row(expiry, kind, wait or "", guess, *(column[case] for column in columns)))
PY

cat > expected <<'TABLE'
mosquitto 2.0.11-1.2+deb12u2 and 2.1.2-3, ejabberd 26.07-1, RabbitMQ 4.3.6-1
interval message   waits  guess     mosquitto 2.0 mosquitto 2.1 ejabberd  RabbitMQ
       0 at QoS 0         with 0    without       without       no        with 0
       0 at QoS 1         with 0    without       without       no        with 0
       1 at QoS 1         with 1    with 1        with 1        with 1    with 0
       0 queued      1.5  no        without       without       no        no
       0 retained    1.5  no        without       without       no        no
       9 queued      4.5  with 4-5  with 5        with 5        with 5    with 4
       9 retained    4.5  with 4-5  with 5        with 5        with 5    with 5
       2 queued      1.5  with 0-1  with 1        with 1        with 1    with 0
       2 queued      2.5  no        without       without       no        no
       2 retained    2.5  no        no            no            no        no
       2 queued      4.5  no        no            no            no        no
       2 retained    4.5  no        no            no            no        no
TABLE

"$broker" install mosquitto-2.0 mosquitto-2.1 ejabberd-26.07 rabbitmq-4.3 2>/dev/null
{
  echo "mosquitto $("$broker" version mosquitto-2.0) and $("$broker" version mosquitto-2.1)," \
    "ejabberd $("$broker" version ejabberd-26.07), RabbitMQ $("$broker" version rabbitmq-4.3)"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python3 clients.py "$broker" \
    mosquitto-2.0 mosquitto-2.1 ejabberd-26.07 rabbitmq-4.3
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
