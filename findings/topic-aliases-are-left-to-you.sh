#!/usr/bin/env bash
# One would guess: a client that tells a Topic Alias Maximum in CONNECT, as paho-mqtt lets one do, gives each message
# with the topic that its Topic Alias stands for. A message that was published with an alias in place of its topic is
# sent again with its topic, since aliases end with the connection (section 3.3.2.3.4).
#
# What happens: with paho-mqtt the second message of each topic has an empty topic, and the alias as a property. A
# callback of `message_callback_add` does not get it. gmqtt gives all with their topics. What paho-mqtt or gmqtt sends
# again after a reconnect has no topic, and an alias that the new connection does not know. mosquitto ends that
# connection, the client connects and sends the same, and so on. With paho-mqtt nothing arrives that is published after
# it; `on_disconnect` has Protocol error each time, and `on_publish` is not called.
#
# Versions: paho-mqtt 2.2.0, gmqtt 0.8.0, with mosquitto 2.1.2-3 (Debian forky).
#
# Why it matters: in a test aliases seem to work, as the first message of each topic comes whole, and so does publishing
# with them, until a connection ends between a message and its PUBACK. Set no Topic Alias Maximum with paho-mqtt, and
# with both give a Topic Alias in place of the topic at QoS 0 only.
#
# Needs Debian's apt and dpkg, and python3 with pip. Broker and clients use loopback and ports that the system chooses.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
broker=$here/../host-tests/brokers/broker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# Where the broker is unpacked.
export XDG_CACHE_HOME=$work

cat > clients.py <<'PY'
import asyncio
import sys
import time

import gmqtt
import paho.mqtt.client as paho
from brokers import running
from mqtt import Client
from network import Network
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def with_aliases():
    properties = Properties(PacketTypes.CONNECT)
    properties.TopicAliasMaximum = 5
    return properties


def alias(number):
    properties = Properties(PacketTypes.PUBLISH)
    properties.TopicAlias = number
    return properties


def wait_until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def publish(address):
    """Two messages for each of two topics, and one that ends the test."""
    publisher = Client(address, "publisher")
    for topic, payload in (("a", "1"), ("a", "2"), ("b", "3"), ("b", "4"), ("end", "end")):
        assert publisher.publish(f"sensors/{topic}", payload) == 0
    time.sleep(1)


def show(title, came):
    print(f"{title}: " + ", ".join(f"{payload} for '{topic}'" for topic, payload in came if payload != "end"))


def receive_with_paho(address):
    came, called, subscribed = [], [], []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "paho", protocol=paho.MQTTv5)
    client.on_subscribe = lambda *_: subscribed.append(True)
    client.on_message = lambda client, data, message: came.append((message.topic, message.payload.decode()))
    for topic in ("sensors/b", "sensors/end"):
        client.message_callback_add(
            topic, lambda client, data, message: called.append((message.topic, message.payload.decode()))
        )
    client.connect(*address, properties=with_aliases())
    client.subscribe("sensors/#", 1)
    client.loop_start()
    wait_until(lambda: subscribed, "not subscribed")
    publish(address)
    client.disconnect()
    client.loop_stop()
    show("paho-mqtt, on_message", came)
    show("paho-mqtt, callback for sensors/b", called)


async def receive_with_gmqtt(address):
    came, subscribed = [], asyncio.Event()
    client = gmqtt.Client("gmqtt", topic_alias_maximum=5)

    def on_message(client, topic, payload, qos, properties):
        came.append((topic, payload.decode()))
        return 0

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    await client.connect(*address)
    client.subscribe("sensors/#", qos=1)
    await asyncio.wait_for(subscribed.wait(), 20)
    await asyncio.to_thread(publish, address)
    await client.disconnect()
    show("gmqtt", came)


def send_with_paho(address, with_alias):
    network, connects, reasons, told = Network(address), [], [], set()
    subscriber = Client(address, "subscriber")
    subscriber.subscribe("commands")
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "sender", protocol=paho.MQTTv5)
    client.on_connect = lambda *_: connects.append(True)
    client.on_disconnect = lambda client, data, flags, reason, properties: reasons.append(str(reason))
    client.on_publish = lambda client, data, identifier, reason, properties: told.add(identifier)
    client.reconnect_delay_set(1, 1)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    client.connect("127.0.0.1", network.port, properties=properties)
    client.loop_start()
    wait_until(lambda: connects, "not connected")
    first = client.publish("commands", "one", 1, properties=alias(1)).mid
    wait_until(lambda: first in told, "no PUBACK")
    network.loses = True
    second = client.publish("" if with_alias else "commands", "two", 1, properties=alias(1)).mid
    came = [subscriber.receive().payload for _ in range(2)]
    network.cut()
    network.loses = False
    wait_until(lambda: len(connects) > 1, "not connected again")
    third = client.publish("commands", "three", 1).mid
    time.sleep(8)
    client.disconnect()
    client.loop_stop()
    while message := subscriber.receive(timeout=1):
        came.append(message.payload)
    print(f"paho-mqtt sends again, {'alias' if with_alias else 'topic and alias'}: came {', '.join(came)}")
    print(f"  after 8 s, acknowledged: two {second in told}, three {third in told}")
    # How many they are is a matter of time.
    ended = len(connects) - 2
    ended = "more than two" if ended > 2 else "none" if ended == 0 else "some"
    print(f"  connections that mosquitto ended: {ended}")
    print(f"    {len(connects)} connections, ended: {', '.join(reasons)}", file=sys.stderr)


async def send_with_gmqtt(address):
    network, connects = Network(address), []
    subscriber = Client(address, "subscriber")
    subscriber.subscribe("commands")
    client = gmqtt.Client("sender", session_expiry_interval=600)
    client.on_connect = lambda *_: connects.append(True)
    client.set_config({"reconnect_delay": 1, "reconnect_retries": -1})
    await client.connect("127.0.0.1", network.port)
    client.publish("commands", "one", qos=1, topic_alias=1)
    await asyncio.sleep(1)
    network.loses = True
    client.publish("", "two", qos=1, topic_alias=1)
    came = [(await asyncio.to_thread(subscriber.receive)).payload for _ in range(2)]
    network.cut()
    network.loses = False
    await asyncio.sleep(8)
    await client.disconnect()
    # A reconnect that has begun ends.
    await asyncio.sleep(2)
    while message := subscriber.receive(timeout=1):
        came.append(message.payload)
    print(f"gmqtt sends again, alias: came {', '.join(came)}")
    print(f"  connections: {'more than three' if len(connects) > 3 else len(connects)}")


with running(sys.argv[1], "mosquitto-2.1") as address:
    receive_with_paho(address)
    asyncio.run(receive_with_gmqtt(address))
    send_with_paho(address, False)
    send_with_paho(address, True)
    asyncio.run(send_with_gmqtt(address))
PY

cat > expected <<'TABLE'
paho-mqtt 2.2.0, gmqtt 0.8.0, mosquitto 2.1.2-3
paho-mqtt, on_message: 1 for 'sensors/a', 2 for '', 4 for ''
paho-mqtt, callback for sensors/b: 3 for 'sensors/b'
gmqtt: 1 for 'sensors/a', 2 for 'sensors/a', 3 for 'sensors/b', 4 for 'sensors/b'
paho-mqtt sends again, topic and alias: came one, two, two, three
  after 8 s, acknowledged: two True, three True
  connections that mosquitto ended: none
paho-mqtt sends again, alias: came one, two
  after 8 s, acknowledged: two False, three False
  connections that mosquitto ended: more than two
gmqtt sends again, alias: came one, two
  connections: more than three
TABLE

"$broker" install mosquitto-2.1 2>/dev/null
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check paho-mqtt==2.2.0 gmqtt==0.8.0
{
  versions=$(python/bin/python -c 'from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in ("paho-mqtt", "gmqtt")))')
  echo "$versions, mosquitto $("$broker" version mosquitto-2.1)"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python/bin/python clients.py "$broker"
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
