#!/usr/bin/env bash
# One would guess: gmqtt hands a message at QoS 2 to `on_message` exactly once, also if the connection ends in between
# and its session goes on: what comes again under a Packet Identifier that was not released is the same message
# (MQTT v5.0, section 4.3.3). What it sends again itself has DUP 1 [MQTT-3.3.1-1]. And when as many messages are without
# an answer as the server's Receive Maximum allows, the next waits for its turn, or `publish` says that it has to.
#
# What happens: gmqtt keeps no Packet Identifiers of what it received. A PUBLISH that comes again since PUBREC was lost
# goes to `on_message` again. It has no DUP when it sends again. And it takes the Receive Maximum for the range of
# Packet Identifiers, less one: with mosquitto, which says 20, the 20th message published in a loop is an OverflowError,
# and so is SUBSCRIBE in that moment, which has nothing to do with the Receive Maximum (section 4.9). A Receive Maximum
# of 1 would leave no identifier, and is ignored: three messages are sent at once.
#
# Versions: gmqtt 0.8.0, and paho-mqtt 2.2.0 to compare with, with mosquitto 2.1.2-3 (Debian forky).
#
# Why it matters: who asks for QoS 2 has commands that must not be carried out twice, and no check of their own.
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

import gmqtt
import paho.mqtt.client as paho
from mosquitto import Mosquitto
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PUBLISH, PUBREC = 3, 5


class Network:
    """Passes packets on, but ends the connection in place of the first of one kind that the client sends."""

    def __init__(self, target, kind):
        self.target, self.kind = target, kind
        self.is_cut = False
        # The first bytes of the client's packets of that kind.
        self.seen = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self.server.close()

    @property
    def address(self):
        return self.server.sockets[0].getsockname()

    async def serve(self, reader, writer):
        broker_reader, broker_writer = await asyncio.open_connection(*self.target)
        back = asyncio.ensure_future(self.pass_back(broker_reader, writer))
        try:
            while True:
                packet = await reader.readexactly(2)
                while packet[-1] & 0x80:
                    packet += await reader.readexactly(1)
                length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(packet[1:]))
                packet += await reader.readexactly(length)
                if packet[0] >> 4 == self.kind:
                    self.seen.append(packet[0])
                    if not self.is_cut:
                        self.is_cut = True
                        return
                broker_writer.write(packet)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            back.cancel()
            writer.close()
            broker_writer.close()

    async def pass_back(self, reader, writer):
        while data := await reader.read(4096):
            writer.write(data)


async def until(condition):
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing happens")


async def with_gmqtt(identifier, address, **properties):
    client = gmqtt.Client(identifier, **properties)
    client.set_config({"reconnect_delay": 0.5})
    await client.connect(*address)
    return client


async def receive_with_gmqtt(address, received):
    client = await with_gmqtt("subscriber", address, session_expiry_interval=600)
    client.on_message = lambda client, topic, payload, qos, properties: received.append(payload.decode())
    client.subscribe("commands", qos=2)
    return client.disconnect


async def receive_with_paho(address, received):
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="paho", protocol=paho.MQTTv5)
    client.reconnect_delay_set(1, 1)
    client.on_message = lambda client, data, message: received.append(message.payload.decode())
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    client.on_connect = lambda client, data, flags, *_: flags.session_present or client.subscribe("commands", 2)
    # In a thread, since the network between it and the broker runs here.
    first_only = paho.MQTT_CLEAN_START_FIRST_ONLY
    await asyncio.to_thread(lambda: client.connect(*address, clean_start=first_only, properties=properties))
    client.loop_start()

    async def stop():
        await asyncio.to_thread(lambda: (client.disconnect(), client.loop_stop()))

    return stop


async def receive(name, start, address):
    async with Network(address, PUBREC) as network:
        received = []
        stop = await start(network.address, received)
        await asyncio.sleep(1)
        publisher = await with_gmqtt("publisher", address)
        publisher.publish("commands", "open the valve", qos=2)
        await until(lambda: len(network.seen) == 2)
        await asyncio.sleep(1)
        await stop()
        await publisher.disconnect()
        print(f"  PUBREC is lost: {name} has {', '.join(received)}")


async def send_again(address):
    async with Network(address, PUBLISH) as network:
        client = await with_gmqtt("sender", network.address, session_expiry_interval=600)
        client.publish("readings", "20", qos=1)
        await until(lambda: len(network.seen) == 2)
        await client.disconnect()
        first, second = (first >> 3 & 1 for first in network.seen)
        print(f"  PUBLISH is lost: gmqtt sends it with DUP {first}, then with DUP {second}")


async def publish(address, count):
    client = await with_gmqtt("publisher", address)
    published = 0
    try:
        for reading in range(count):
            client.publish("readings", str(reading), qos=1)
            published += 1
    except OverflowError as error:
        print(f"  published {published} in a loop, then {type(error).__name__}")
        try:
            client.subscribe("commands")
        except OverflowError as error:
            print(f"  subscribe: {type(error).__name__}")
    else:
        print(f"  published {published} in a loop")
    await client.disconnect()


program = sys.argv[1]
with Mosquitto(program, "default") as mosquitto:
    address = mosquitto.address
    asyncio.run(receive("paho-mqtt", receive_with_paho, address))
    asyncio.run(receive("gmqtt", receive_with_gmqtt, address))
    asyncio.run(send_again(address))
    print("  Receive Maximum 20")
    asyncio.run(publish(address, 30))
with Mosquitto(program, "small", "max_inflight_messages 1") as mosquitto:
    print("  Receive Maximum 1")
    asyncio.run(publish(mosquitto.address, 3))
PY

cat > expected <<'TABLE'
gmqtt 0.8.0, paho-mqtt 2.2.0, mosquitto 2.1.2-3
  PUBREC is lost: paho-mqtt has open the valve
  PUBREC is lost: gmqtt has open the valve, open the valve
  PUBLISH is lost: gmqtt sends it with DUP 0, then with DUP 0
  Receive Maximum 20
  published 19 in a loop, then OverflowError
  subscribe: OverflowError
  Receive Maximum 1
  published 3 in a loop
TABLE

"$broker" install mosquitto-2.1 2>/dev/null
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check gmqtt==0.8.0 paho-mqtt==2.2.0
{
  python/bin/python -c 'from importlib.metadata import version
print(*(f"{name} {version(name)}," for name in ("gmqtt", "paho-mqtt")), end=" ")'
  echo "mosquitto $("$broker" version mosquitto-2.1)"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python/bin/python clients.py "$work/mqtt-wasi/brokers/mosquitto-2.1/usr/sbin/mosquitto" 2>errors
} > seen || cat errors
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
