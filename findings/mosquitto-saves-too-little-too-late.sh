#!/usr/bin/env bash
# One would guess: a session is kept after its connection for as long as its Session Expiry Interval says, whether it
# began with Clean Start or not: Clean Start is about the session before it (MQTT v5.0, sections 3.1.2.4 and
# 3.1.2.11.2). So with `persistence true` mosquitto has it after a restart. And with `autosave_on_changes true` and
# `autosave_interval 1`, which save with every change, a message is on the disk when PUBACK comes.
#
# What happens: a session that began with Clean Start is kept while mosquitto runs, but it is not written to the file,
# also not at SIGTERM, and so it is gone after a restart. From the next connection on, which has Clean Start 0, it is
# written. And PUBACK is sent before the message is saved: of messages for a subscriber that is away, the one that was
# acknowledged last is lost by SIGKILL right after PUBACK. One second later it is saved.
#
# Versions: mosquitto 2.0.11-1.2+deb12u2 (Debian 12), 2.1.2-3 (Debian forky).
#
# Why it matters: Clean Start is how most clients begin, so the sessions that users count on for their first restart are
# those that are not saved. And what a publisher takes for delivered may be lost with the power.
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
import signal
import sys
import time

from mosquitto import Mosquitto
from mqtt import Client


def again(mosquitto, identifier):
    """A client that wants its session."""
    return Client(mosquitto.address, identifier, clean_start=False, expiry=600)


def sessions(mosquitto):
    for clean_start in (True, False):
        seen = []
        for restarts in range(2):
            name = f"{int(clean_start)}-{restarts}"
            client = Client(mosquitto.address, name, clean_start=clean_start, expiry=600)
            client.subscribe(name)
            client.disconnect()
            for _ in range(restarts):
                mosquitto.restart()
            client = again(mosquitto, name)
            seen.append(f"{int(client.session_present)} after {restarts} restarts")
            client.disconnect()
        print(f"  began with Clean Start {int(clean_start)}: Session Present {', '.join(seen)}")


def messages(mosquitto, seconds):
    again(mosquitto, "away").subscribe("jobs")
    again(mosquitto, "away").disconnect()
    publisher = Client(mosquitto.address, "publisher")
    acknowledged = [str(job) for job in range(10) if publisher.publish("jobs", str(job)) == 0]
    time.sleep(seconds)
    mosquitto.restart(signal.SIGKILL)
    client = again(mosquitto, "away")
    received = []
    while message := client.receive(timeout=1):
        received.append(message.payload)
    client.disconnect()
    lost = [job for job in acknowledged if job not in received]
    print(f"  {len(acknowledged)} acknowledged, killed {seconds} s later: lost {', '.join(lost) or 'none'}")
    mosquitto.restart()


program, folder = sys.argv[1:]
persistence = (
    "persistence true",
    f"persistence_location {os.path.abspath(folder)}/",
    "autosave_on_changes true",
    "autosave_interval 1",
)
with Mosquitto(program, folder, *persistence) as mosquitto:
    sessions(mosquitto)
    messages(mosquitto, 0)
    messages(mosquitto, 2)
PY

cat > expected <<'TABLE'
mosquitto 2.0.11-1.2+deb12u2
  began with Clean Start 1: Session Present 1 after 0 restarts, 0 after 1 restarts
  began with Clean Start 0: Session Present 1 after 0 restarts, 1 after 1 restarts
  10 acknowledged, killed 0 s later: lost 9
  10 acknowledged, killed 2 s later: lost none
mosquitto 2.1.2-3
  began with Clean Start 1: Session Present 1 after 0 restarts, 0 after 1 restarts
  began with Clean Start 0: Session Present 1 after 0 restarts, 1 after 1 restarts
  10 acknowledged, killed 0 s later: lost 9
  10 acknowledged, killed 2 s later: lost none
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
