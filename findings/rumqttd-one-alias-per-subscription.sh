#!/usr/bin/env bash
# One would guess: a server that sends a Topic Alias to a client means the topic that it set the alias to, in the same
# connection. A message to another topic sets the alias again, has another alias, or has its Topic Name, as MQTT v5.0,
# section 3.3.2.3.4, says. And UNSUBACK has a Reason Code for each Topic Filter of UNSUBSCRIBE, in their order
# [MQTT-3.11.3-1].
#
# What happens: a client that has a Topic Alias Maximum and subscribes with a wildcard gets the first message with its
# topic and an alias. All that follow have this alias alone, whatever their topic is: each looks as if it were published
# to the topic of the first. Without a Topic Alias Maximum, all have their own topics. And UNSUBACK has one Reason Code
# however many Topic Filters there were.
#
# Versions: iotcore 0.4.0 (PyPI), which rumqttd runs within.
#
# Why it matters: clients let servers use aliases to save bytes. With a wildcard, each reading is then taken for one of
# the first sensor. A client that reads as many Reason Codes as it sent Topic Filters reads past the end of UNSUBACK, or
# closes the connection for a packet that is not valid.
#
# Needs python3 with venv. Broker and clients use loopback and a port that the system chooses.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > broker.py <<'PY'
import sys

from iotcore import IotCoreBroker

with open("rumqttd.toml", "w") as config:
    config.write(f"""\
id = 0

[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5"
listen = "127.0.0.1:{sys.argv[1]}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
""")
IotCoreBroker(config_path="rumqttd.toml").run_forever()
PY

cat > clients.py <<'PY'
import socket
import struct
import subprocess
import sys
import time

from mqtt import Client, packet, text


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def connected(address, identifier):
    end = time.monotonic() + 20
    while True:
        try:
            return Client(address, identifier)
        except OSError:
            assert time.monotonic() < end, "the broker does not start"
            time.sleep(0.1)


def receive_all(address, maximum):
    """What comes to a client with this Topic Alias Maximum, as it reads it."""
    properties = b"\x22" + struct.pack(">H", maximum) if maximum else b""
    subscriber = Client(address, "subscriber", properties=properties)
    subscriber.subscribe("sensors/+")
    publisher = Client(address, "publisher")
    print(f"Topic Alias Maximum {maximum}")
    for sensor in ("kitchen", "cellar", "attic"):
        publisher.publish(f"sensors/{sensor}", sensor)
        message = subscriber.receive()
        by_alias = "" if message.topic else f", by alias {message.alias}"
        print(f"  published to sensors/{sensor}, came to {subscriber.topic(message)}{by_alias}")


def unsubscribe(client, filters):
    body = struct.pack(">H", 7) + b"\0" + b"".join(text(each) for each in filters)
    kind, body = client.exchange(packet(0xA2, body))
    assert kind == 0xB0
    codes = body[3 + body[2] :]
    print(f"unsubscribed from {len(filters)}: Reason Codes {', '.join(map(str, codes))}")


def main():
    port = free_port()
    broker = subprocess.Popen(
        [sys.executable, "broker.py", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = ("127.0.0.1", port)
        connected(address, "first").disconnect()
        receive_all(address, 0)
        receive_all(address, 10)

        subscriber = Client(address, "subscriber")
        for filters in (["a"], ["b", "c", "d"]):
            for each in filters:
                subscriber.subscribe(each)
            unsubscribe(subscriber, filters)
    finally:
        broker.kill()
        broker.wait()


main()
PY

cat > expected <<'TABLE'
Topic Alias Maximum 0
  published to sensors/kitchen, came to sensors/kitchen
  published to sensors/cellar, came to sensors/cellar
  published to sensors/attic, came to sensors/attic
Topic Alias Maximum 10
  published to sensors/kitchen, came to sensors/kitchen
  published to sensors/cellar, came to sensors/kitchen, by alias 1
  published to sensors/attic, came to sensors/kitchen, by alias 1
unsubscribed from 1: Reason Codes 0
unsubscribed from 3: Reason Codes 0
TABLE

python3 -m venv environment
environment/bin/pip --quiet --disable-pip-version-check install iotcore==0.4.0
PYTHONPATH=$here environment/bin/python clients.py > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
