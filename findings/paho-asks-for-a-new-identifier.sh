#!/usr/bin/env bash
# One would guess: a client without a Client Identifier of its own gets one in CONNACK (Assigned Client Identifier,
# section 3.2.2.3.7). With a Session Expiry Interval, and Clean Start 0 from the second connection on, the automatic
# reconnect uses that identifier, and so the session is resumed: what came meanwhile is there.
#
# What happens: paho-mqtt does not keep it. Each reconnect has Clean Start 0 and an empty identifier, so the server
# makes a new session and a new identifier. What was published meanwhile is acknowledged to its publisher with Success,
# and waits in the session of the first identifier, until that expires. awscrt connects with the identifier that it got,
# and gmqtt never has an empty one: both get the message.
#
# Versions: paho-mqtt 2.2.0, awscrt 0.38.1, gmqtt 0.8.0, with mosquitto 2.1.2-3 (Debian forky).
#
# Why it matters: `Client(..., protocol=MQTTv5)` has no identifier unless it is given one, and with a Session Expiry
# Interval everything looks right: only messages of the time of a reconnect are missing. Each reconnect also leaves a
# session behind, whose queue the server fills until it expires.
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
import threading
import time

import gmqtt
import paho.mqtt.client as paho
from awscrt import mqtt5
from brokers import running
from mqtt import Client
from network import Network
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


class Seen:
    """What a client tells of its connections, of SUBACK and of messages."""

    def __init__(self):
        self.presents, self.identifiers, self.came, self.subscribed = [], [], [], 0

    def connected(self, present, identifier):
        self.identifiers.append(identifier)
        self.presents.append(int(present))


def with_paho(port, seen, name, stop):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)

    def on_connect(client, data, flags, reason, properties):
        seen.connected(flags.session_present, getattr(properties, "AssignedClientIdentifier", None))
        if not flags.session_present:
            client.subscribe("orders", 1)

    def on_subscribe(*_):
        seen.subscribed += 1

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.on_message = lambda client, data, message: seen.came.append(message.payload.decode())
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", port, properties=properties)
    client.loop_start()
    stop.wait()
    client.disconnect()
    client.loop_stop()


def with_awscrt(port, seen, name, stop):
    def on_success(data):
        connack = data.connack_packet
        seen.connected(connack.session_present, connack.assigned_client_identifier)
        if not connack.session_present:
            filters = [mqtt5.Subscription(topic_filter="orders", qos=mqtt5.QoS.AT_LEAST_ONCE)]
            client.subscribe(mqtt5.SubscribePacket(subscriptions=filters)).add_done_callback(on_subscribed)

    def on_subscribed(_):
        seen.subscribed += 1

    ended = threading.Event()
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name="127.0.0.1",
            port=port,
            connect_options=mqtt5.ConnectPacket(client_id=name, session_expiry_interval_sec=600),
            session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_POST_SUCCESS,
            min_reconnect_delay_ms=1000,
            max_reconnect_delay_ms=1000,
            on_lifecycle_event_connection_success_fn=on_success,
            on_lifecycle_event_stopped_fn=lambda _: ended.set(),
            on_publish_callback_fn=lambda data: seen.came.append(data.publish_packet.payload.decode()),
        )
    )
    client.start()
    stop.wait()
    client.stop()
    ended.wait(10)


def with_gmqtt(port, seen, name, stop):
    async def run():
        client = gmqtt.Client(name, session_expiry_interval=600)

        def on_connect(client, flags, code, properties):
            seen.connected(flags, properties.get("assigned_client_identifier", [None])[0])
            if not flags:
                client.subscribe("orders", qos=1)

        def on_subscribe(*_):
            seen.subscribed += 1

        def on_message(client, topic, payload, qos, properties):
            seen.came.append(payload.decode())
            return 0

        client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
        client.set_config({"reconnect_delay": 1, "reconnect_retries": -1})
        await client.connect("127.0.0.1", port)
        await asyncio.to_thread(stop.wait)
        await client.disconnect()

    asyncio.run(run())


def wait_until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def reconnect(address, run, title, name):
    network, seen, stop = Network(address), Seen(), threading.Event()
    thread = threading.Thread(target=run, args=(network.port, seen, name, stop))
    thread.start()
    try:
        wait_until(lambda: seen.subscribed, "not subscribed")
        network.works = False
        network.cut()
        time.sleep(1)
        publisher = Client(address, "publisher")
        reason = publisher.publish("orders", "meanwhile")
        network.works = True
        wait_until(lambda: len(seen.presents) > 1, "not connected again")
        wait_until(lambda: seen.presents[1] or seen.subscribed > 1, "not subscribed again")
        publisher.publish("orders", "afterwards")
        wait_until(lambda: "afterwards" in seen.came, "nothing comes")
    finally:
        stop.set()
        thread.join()
    print(f"{title}: PUBACK {reason:#04x}, Session Present {seen.presents[1]}, came: {', '.join(seen.came)}")
    first, second = seen.identifiers[:2]
    if first and second:
        assert first != second
        late = Client(address, first, clean_start=False)
        waiting = []
        while message := late.receive(timeout=1):
            waiting.append(message.payload)
        print(f"  another identifier was assigned; waiting for the first one: {', '.join(waiting)}")


with running(sys.argv[1], "mosquitto-2.1") as address:
    reconnect(address, with_paho, "paho-mqtt, without an identifier", None)
    reconnect(address, with_paho, "paho-mqtt, with one", "paho")
    reconnect(address, with_awscrt, "awscrt, without an identifier", None)
    reconnect(address, with_gmqtt, "gmqtt, without an identifier", None)
PY

cat > expected <<'TABLE'
paho-mqtt 2.2.0, awscrt 0.38.1, gmqtt 0.8.0, mosquitto 2.1.2-3
paho-mqtt, without an identifier: PUBACK 0x00, Session Present 0, came: afterwards
  another identifier was assigned; waiting for the first one: meanwhile, afterwards
paho-mqtt, with one: PUBACK 0x00, Session Present 1, came: meanwhile, afterwards
awscrt, without an identifier: PUBACK 0x00, Session Present 1, came: meanwhile, afterwards
gmqtt, without an identifier: PUBACK 0x00, Session Present 1, came: meanwhile, afterwards
TABLE

"$broker" install mosquitto-2.1 2>/dev/null
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check paho-mqtt==2.2.0 awscrt==0.38.1 gmqtt==0.8.0
{
  versions=$(python/bin/python -c 'from importlib.metadata import version
print(", ".join(f"{name} {version(name)}" for name in ("paho-mqtt", "awscrt", "gmqtt")))')
  echo "$versions, mosquitto $("$broker" version mosquitto-2.1)"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python/bin/python clients.py "$broker"
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
