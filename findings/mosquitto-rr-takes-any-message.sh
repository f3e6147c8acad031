#!/usr/bin/env bash
# One would guess: mosquitto_rr sends a request and waits for its response: the message with the Correlation Data that
# it sent (section 4.10), not one that was kept on the Response Topic from an earlier request. If the server refuses the
# request, or the subscription to the Response Topic, or tells in PUBACK that there is nobody to answer (0x10), it ends
# at once with an error.
#
# What happens: the first message on the Response Topic is the response, whatever its Correlation Data, and mosquitto_rr
# ends with 0. Of two at the same time with one Response Topic, both take the response to the second. A retained message
# is taken before anybody answers; `-R`, which is for that, helps in 2.1.2 only. What PUBACK tells is ignored: it waits
# as long as `-W` allows, and without that it goes on waiting. If the subscription is refused, it says so, and ends with
# 0, as after a response.
#
# Versions: mosquitto_rr 2.0.11-1.2+deb12u2 (Debian 12) and 2.1.2-3 (Debian forky), each with mosquitto of that version.
#
# Why it matters: with `-D publish correlation-data` all that it sends is as it should be, and a script with one
# Response Topic works until two run at the same time. Its exit code does not tell that there was a response. Give each
# call a Response Topic of its own, and `-W`.
#
# Needs Debian's apt and dpkg, and python3. Brokers and clients use loopback and ports that the system chooses.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tools=$here/../host-tests/brokers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > clients.py <<'PY'
import os
import socket
import subprocess
import sys
import threading
import time

from mosquitto import Mosquitto
from mqtt import Client, packet, text

programs, name = sys.argv[1:]


class Refusing:
    """A server that refuses the subscription. With its `acl_file`, mosquitto refuses none."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        connection, _ = self.server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(packet(0x20, b"\0\0\0"))
            subscribe = connection.recv(4096)
            assert subscribe[0] == 0x82, "no SUBSCRIBE"
            # Not authorized.
            connection.sendall(packet(0x90, subscribe[2:4] + b"\0\x87"))
            while connection.recv(4096):
                pass


class Request:
    """A mosquitto_rr that runs."""

    def __init__(self, address, *options, topic="requests"):
        command = [f"{programs}/bin/mosquitto_rr", "-h", address[0], "-p", str(address[1]), "-V", "5", "-q", "1"]
        command += ["-t", topic, "-e", "replies", "-m", "a request", "-W", "4", *options]
        self.begin = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        said = self.process.communicate(timeout=20)[0].strip()
        waited = "after 4 s" if time.monotonic() - self.begin > 3.5 else "before that"
        return f"{said}, ends with {self.process.returncode} {waited}"


def correlated(value):
    return "-D", "publish", "correlation-data", value


def keep(client, payload):
    """Publishes a retained message."""
    kind, _ = client.exchange(packet(0x33, text("replies") + b"\0\x09\0" + payload.encode()))
    assert kind == 0x40, "no PUBACK"


def answer(service, correlation):
    time.sleep(0.5)
    properties = b"\x09" + text(correlation)
    service.publish("replies", f"the reply to {correlation}", properties=properties)


with open(f"{name}.acl", "w") as acl:
    acl.write("topic readwrite requests\ntopic readwrite replies\n")
with Mosquitto(f"{programs}/sbin/mosquitto", name, f"acl_file {os.path.abspath(acl.name)}") as mosquitto:
    address = mosquitto.address
    print("nobody answers:", Request(address).end())
    print("the request is refused:", Request(address, topic="secret").end())
    print("the subscription is refused:", Request(Refusing().server.getsockname()).end())
    service = Client(address, "service")
    service.subscribe("requests")
    requests = {}
    for correlation in ("one", "two"):
        requests[correlation] = Request(address, *correlated(correlation))
        properties = service.receive().properties
        assert b"\x09" + text(correlation) in properties, "no Correlation Data"
    for correlation in ("two", "one"):
        answer(service, correlation)
    for correlation, request in requests.items():
        print(f"two at the same time, {correlation}:", request.end())
    keep(service, "an old reply")
    for title, options in (("an old reply is retained", ()), ("an old reply is retained, -R", ("-R",))):
        request = Request(address, *correlated("three"), *options)
        service.receive()
        answer(service, "three")
        print(f"{title}:", request.end())
PY

cat > expected <<'TABLE'
mosquitto_rr 2.0.11-1.2+deb12u2
nobody answers: Timed out, ends with 27 after 4 s
the request is refused: Timed out, ends with 27 after 4 s
the subscription is refused: Not authorized, ends with 0 before that
two at the same time, one: the reply to two, ends with 0 before that
two at the same time, two: the reply to two, ends with 0 before that
an old reply is retained: an old reply, ends with 0 before that
an old reply is retained, -R: an old reply, ends with 0 before that
mosquitto_rr 2.1.2-3
nobody answers: Timed out, ends with 27 after 4 s
the request is refused: Timed out, ends with 27 after 4 s
the subscription is refused: Not authorized, ends with 0 before that
two at the same time, one: the reply to two, ends with 0 before that
two at the same time, two: the reply to two, ends with 0 before that
an old reply is retained: an old reply, ends with 0 before that
an old reply is retained, -R: the reply to three, ends with 0 before that
TABLE

fetch() (
  # Where the programs are unpacked.
  export XDG_CACHE_HOME=$work/cache
  source "$tools/cache.sh"
  source "$tools/debian.sh"
  source "$tools/erlang.sh"
  debian_fetch "$1" mosquitto-clients "$cache/clients-$1" mosquitto 2>/dev/null
)

for suite in bookworm forky; do
  fetch "$suite"
  folder=$work/cache/mqtt-wasi/brokers/clients-$suite
  echo "mosquitto_rr $(cat "$folder/version")"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python3 clients.py "$folder/usr" "$suite"
done > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
