#!/usr/bin/env bash
# One would guess: with MQTT v5.0, paho-mqtt tells `on_publish` the Reason Code with which the server refused a message,
# and at most as many messages are without an answer as the server's Receive Maximum allows [MQTT-3.3.4-9]. aiomqtt,
# which runs on it, raises an exception when `await client.publish(...)` fails.
#
# What happens: at QoS 1 paho-mqtt tells 0x87 Not authorized. At QoS 2, where the refusal is in PUBREC, it tells Success
# for the same topic: it sends PUBREL, which must not follow a Reason Code of 0x80 or more (section 4.3.3), mosquitto
# answers with an empty PUBCOMP, and that is taken for the result. With aiomqtt, `publish` returns in both cases.
# paho-mqtt also sends up to 20 messages at once, whatever the Receive Maximum is. mosquitto refuses what is over it,
# with 0x97 Quota exceeded in PUBREC: of 100 messages published at QoS 2 to one that takes 10 at
# once, 100 are a Success, and about half of them come.
#
# Versions: paho-mqtt 2.2.0, aiomqtt 2.5.1, with mosquitto 2.0.11-1.2+deb12u2 (Debian 12) and 2.1.2-3 (Debian forky).
#
# Why it matters: QoS 2 is chosen so that nothing is lost, and just there a loss is told as a success. mosquitto's own
# `max_inflight_messages` is 20, as in paho-mqtt, so the last of these begins when someone lowers it.
#
# Needs Debian's apt and dpkg, and python3 with pip. Brokers and clients use loopback and ports that the system chooses.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
broker=$here/../host-tests/brokers/broker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# Where the brokers are unpacked.
export XDG_CACHE_HOME=$work

cat > clients.py <<'PY'
import asyncio
import os
import struct
import sys
import time

import aiomqtt
import paho.mqtt.client as paho
from mosquitto import Mosquitto
from mqtt import Client, packet, text


def on_the_wire(address):
    """What mosquitto answers to a message at QoS 2 that it refuses, and to PUBREL all the same."""
    client = Client(address, "bytes")
    kind, received = client.exchange(packet(0x34, text("secret") + struct.pack(">H", 9) + b"\0no"))
    assert kind == 0x50, "no PUBREC"
    kind, completed = client.exchange(packet(0x62, struct.pack(">H", 9)))
    assert kind == 0x70, "no PUBCOMP"
    print(f"  refused at QoS 2, on the wire: PUBREC {received[2]:#x}, PUBCOMP of {len(completed)} bytes")


def make_client():
    """A client of paho-mqtt, and the Reason Codes that it tells."""
    told = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="paho", protocol=paho.MQTTv5)
    client.on_publish = lambda client, data, identifier, reason, properties: told.append(str(reason))
    return client, told


def wait_until(told, count):
    end = time.monotonic() + 20
    while len(told) < count:
        assert time.monotonic() < end, "on_publish is not called"
        time.sleep(0.05)


def refused(address):
    client, told = make_client()
    client.connect(*address)
    client.loop_start()
    for qos in (1, 2):
        message = client.publish("secret", "no", qos)
        wait_until(told, qos)
        print(f"  refused at QoS {qos}, paho-mqtt: {told[-1]}, is_published {message.is_published()}")
    client.disconnect()
    client.loop_stop()


async def refused_in_asyncio(address):
    async with aiomqtt.Client(*address, protocol=aiomqtt.ProtocolVersion.V5) as client:
        for qos in (1, 2):
            result = await client.publish("secret", "no", qos)
            print(f"  refused at QoS {qos}, aiomqtt: returns {result}")


def too_many(address):
    subscriber = Client(address, "subscriber")
    subscriber.subscribe("jobs")
    client, told = make_client()
    # They wait for the connection. Once it is there, paho-mqtt sends as many as it will before it reads an answer.
    for job in range(100):
        client.publish("jobs", str(job), 2)
    client.connect(*address)
    client.loop_start()
    wait_until(told, 100)
    client.disconnect()
    client.loop_stop()
    count = 0
    while subscriber.receive(timeout=2):
        count += 1
    # How many exactly is a matter of time.
    came = "all" if count == 100 else "none" if count == 0 else "some"
    print(f"  Receive Maximum 10, paho-mqtt at QoS 2: {told.count('Success')} of 100 told as Success, {came} came")
    print(f"    {count} of 100 came", file=sys.stderr)


program, name = sys.argv[1:]
with open(f"{name}.acl", "w") as acl:
    acl.write("topic readwrite open\n")
with Mosquitto(program, f"{name}/refusing", f"acl_file {os.path.abspath(acl.name)}") as mosquitto:
    on_the_wire(mosquitto.address)
    refused(mosquitto.address)
    asyncio.run(refused_in_asyncio(mosquitto.address))
with Mosquitto(program, f"{name}/small", "max_inflight_messages 10") as mosquitto:
    too_many(mosquitto.address)
PY

cat > cases <<'TABLE'
  refused at QoS 2, on the wire: PUBREC 0x87, PUBCOMP of 2 bytes
  refused at QoS 1, paho-mqtt: Not authorized, is_published True
  refused at QoS 2, paho-mqtt: Success, is_published True
  refused at QoS 1, aiomqtt: returns None
  refused at QoS 2, aiomqtt: returns None
  Receive Maximum 10, paho-mqtt at QoS 2: 100 of 100 told as Success, some came
TABLE
{
  echo "paho-mqtt 2.2.0, aiomqtt 2.5.1"
  for version in 2.0.11-1.2+deb12u2 2.1.2-3; do echo "mosquitto $version"; cat cases; done
} > expected

"$broker" install mosquitto-2.0 mosquitto-2.1 2>/dev/null
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check paho-mqtt==2.2.0 aiomqtt==2.5.1
{
  python/bin/python -c 'from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in ("paho-mqtt", "aiomqtt")))'
  for name in mosquitto-2.0 mosquitto-2.1; do
    echo "mosquitto $("$broker" version "$name")"
    PYTHONPATH=$here python/bin/python clients.py "$work/mqtt-wasi/brokers/$name/usr/sbin/mosquitto" "$name"
  done
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
