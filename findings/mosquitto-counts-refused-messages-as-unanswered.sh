#!/usr/bin/env bash
# One would guess: a client refuses a message at QoS 2 with a Reason Code of 0x80 or more in PUBREC, which ends its
# delivery (MQTT v5.0, section 4.3.3) and lets the server send one more under the client's Receive Maximum (section
# 4.9). The next message comes, as it does after a PUBACK that refuses one.
#
# What happens: mosquitto does not send a refused message again, but goes on counting it as one without an answer. When
# a client has refused 20, which is mosquitto's `max_inflight_messages`, or as many as its own Receive Maximum if that
# is less, nothing at QoS 1 or 2 comes any more, from any subscription. Messages at QoS 0 do. What waits comes after a
# new connection to the same Session. Both versions do so; 2.0.11 first sends all that was queued. At QoS 1 refusals do
# no harm.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), 2.1.2-3 (Debian forky).
#
# Why it matters: a consumer that refuses what it cannot read, in place of taking it and throwing it away, gets nothing
# after the 20th such message, on a connection that looks healthy.
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
from mqtt import Client, Message, packet, text

MESSAGES = 25
IMPLEMENTATION_SPECIFIC_ERROR = 0x83


class Subscriber(Client):
    def subscribe_at(self, topic, qos):
        kind, body = self.exchange(packet(0x82, b"\0\x01\0" + text(topic) + bytes([qos])))
        assert (kind, body[-1]) == (0x90, qos), "not subscribed"

    def take(self, reason=0):
        """What comes until a second is without a packet. Each message is answered with the Reason Code."""
        taken = []
        self.socket.settimeout(1)
        while True:
            try:
                first, body = self.read()
            except TimeoutError:
                return taken
            if first & 0xF0 == 0x30:
                message = Message(first, body)
                taken.append(message.payload)
                if message.qos:
                    answer = message.identifier + (bytes([reason]) if reason else b"")
                    self.socket.sendall(packet(0x40 if message.qos == 1 else 0x50, answer))
            else:
                # A message that was not refused.
                assert first == 0x62, "another packet than PUBREL"
                self.socket.sendall(packet(0x70, body[:2]))


def publish(address, topic, payload, qos):
    client = Client(address, "publisher")
    properties_and_payload = b"\0" + payload.encode()
    if qos == 0:
        client.socket.sendall(packet(0x30, text(topic) + properties_and_payload))
    elif qos == 1:
        client.publish(topic, payload)
    else:
        identifier = struct.pack(">H", 9)
        kind, body = client.exchange(packet(0x34, text(topic) + identifier + properties_and_payload))
        assert kind == 0x50, "no PUBREC"
        kind, body = client.exchange(packet(0x62, identifier))
        assert kind == 0x70, "no PUBCOMP"
    client.disconnect()


def refuse(address, qos):
    name = f"refuses-{qos}"
    subscriber = Subscriber(address, name, expiry=600)
    subscriber.subscribe_at(name, qos)
    subscriber.subscribe_at(f"{name}/more", 1)
    for number in range(MESSAGES):
        publish(address, name, str(number), qos)
    refused = subscriber.take(IMPLEMENTATION_SPECIFIC_ERROR)
    for next_qos in (0, 1):
        publish(address, f"{name}/more", f"next at QoS {next_qos}", next_qos)
    then = subscriber.take()
    subscriber.disconnect()
    print(f"  QoS {qos}: refused {len(refused)} of {MESSAGES}, then came: {', '.join(then)}")
    again = Subscriber(address, name, clean_start=False, expiry=600)
    came = again.take()
    again.disconnect()
    print(f"    connected again, Session Present {int(again.session_present)}: {', '.join(came) or 'none'}")


with Mosquitto(*sys.argv[1:]) as mosquitto:
    refuse(mosquitto.address, 1)
    refuse(mosquitto.address, 2)
PY

cat > expected <<'TABLE'
mosquitto 2.0.11-1.2+deb12u2
  QoS 1: refused 25 of 25, then came: next at QoS 0, next at QoS 1
    connected again, Session Present 1: none
  QoS 2: refused 25 of 25, then came: next at QoS 0
    connected again, Session Present 1: next at QoS 1
mosquitto 2.1.2-3
  QoS 1: refused 25 of 25, then came: next at QoS 0, next at QoS 1
    connected again, Session Present 1: none
  QoS 2: refused 20 of 25, then came: next at QoS 0
    connected again, Session Present 1: 20, 21, 22, 23, 24, next at QoS 1
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
