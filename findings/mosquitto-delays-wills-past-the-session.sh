#!/usr/bin/env bash
# One would guess: a Session Expiry Interval of 0, which is the default, ends the Session with its connection, and then
# a Will Delay Interval has no effect: the will is sent when the delay "has passed or the Session ends, whichever
# happens first" (section 3.1.3.2.2 of MQTT v5.0).
#
# What happens: mosquitto waits for the whole delay if the Session Expiry Interval is 0, in CONNECT or in the DISCONNECT
# that asks for the will (0x04). With an interval of 1 second, it sends the will when the Session ends.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), 2.1.2-3 (Debian forky).
#
# Why it matters: a client without a Session, or that ends its own for good, is told gone a whole delay late, and a
# smaller Session Expiry Interval makes the will later.
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
import time

from brokers import running
from mqtt import Client, packet

DELAY = 6
END = packet(0xE0, b"\x04\x05\x11\0\0\0\0")
# What it is, the Session Expiry Interval of CONNECT, and what is sent before the connection is closed.
CASES = (
    ("Session Expiry Interval 0, lost", 0, b""),
    ("Session Expiry Interval 1, lost", 1, b""),
    ("Session Expiry Interval 600, lost", 600, b""),
    ("Session Expiry Interval 600, then 0 in DISCONNECT 0x04", 600, END),
)


def try_case(address, number_of_case):
    _, expiry, end = CASES[number_of_case]
    topic = f"will/{number_of_case}"
    watcher = Client(address, f"watcher-{number_of_case}")
    watcher.subscribe(topic)
    client = Client(address, f"client-{number_of_case}", expiry=expiry, will=(topic, DELAY))
    client.socket.sendall(end)
    client.socket.close()
    gone = time.monotonic()
    assert watcher.receive().payload == "gone", "another message"
    return "after the delay" if time.monotonic() - gone > DELAY - 2 else "before"


with running(sys.argv[1], sys.argv[2]) as address, concurrent.futures.ThreadPoolExecutor() as pool:
    for (what, _, _), when in zip(CASES, pool.map(lambda case: try_case(address, case), range(len(CASES)))):
        print(f"  {what}: {when}")
PY

cat > expected <<'TABLE'
mosquitto 2.0.11-1.2+deb12u2
  Session Expiry Interval 0, lost: after the delay
  Session Expiry Interval 1, lost: before
  Session Expiry Interval 600, lost: after the delay
  Session Expiry Interval 600, then 0 in DISCONNECT 0x04: after the delay
mosquitto 2.1.2-3
  Session Expiry Interval 0, lost: after the delay
  Session Expiry Interval 1, lost: before
  Session Expiry Interval 600, lost: after the delay
  Session Expiry Interval 600, then 0 in DISCONNECT 0x04: after the delay
TABLE

"$broker" install mosquitto-2.0 mosquitto-2.1 2>/dev/null
for name in mosquitto-2.0 mosquitto-2.1; do
  echo "mosquitto $("$broker" version "$name")"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python3 clients.py "$broker" "$name"
done > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
