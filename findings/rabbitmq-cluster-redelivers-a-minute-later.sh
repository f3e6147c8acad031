#!/usr/bin/env bash
# One would guess: a client whose node of a cluster is killed connects to another node, is told Session Present 1, and
# gets at once what it had received and not acknowledged, since a server that has the session has to send that again
# when the client is back [MQTT-4.4.0-1], and in the order in which it was published [MQTT-4.6.0-5].
#
# What happens: RabbitMQ with its MQTT sessions as quorum queues says Session Present 1 and sends the messages that are
# published from then on. It sends the unacknowledged one a minute later, behind them. When it was the connection that
# ended, and not the node, the message comes at once.
#
# Versions: RabbitMQ 4.3.6-1 (Debian forky), three nodes, `mqtt.durable_queue_type = quorum`.
#
# Why it matters: a client that takes the newest message of a topic for the newest state goes back to a state that is a
# minute old. And a test that waits some seconds takes the message for lost.
#
# Needs Debian's apt and dpkg, python3, and two minutes. The nodes are at loopback addresses of their own.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
broker=$here/../host-tests/brokers/broker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# Where the broker is unpacked.
export XDG_CACHE_HOME=$work

cat > clients.py <<'PY'
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from mqtt import Client

ADDRESSES = [f"127.0.0.{last}" for last in (31, 32, 33)]


def free_ports():
    """Ports that are free at each of the addresses."""
    with contextlib.ExitStack() as taken:
        while True:
            listener = taken.enter_context(socket.create_server((ADDRESSES[0], 0)))
            port = listener.getsockname()[1]
            try:
                for address in ADDRESSES[1:]:
                    taken.enter_context(socket.create_server((address, port)))
            except OSError:
                continue
            yield port


def start(broker, ports):
    nodes = []
    for address in ADDRESSES:
        command = [broker, "serve", "rabbitmq-4.3", os.path.abspath(address), address, *map(str, ports), *ADDRESSES]
        nodes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True))
    return nodes


def wait_until_they_run(nodes):
    for node in nodes:
        assert any(line.endswith("running\n") for line in node.stderr), "a node does not start"


def connect(address, port, identifier):
    """A client with a session of ten minutes."""
    return Client((address, port), identifier, clean_start=False, expiry=600)


def unacknowledged(subscriber):
    """A message as it comes, which is not acknowledged."""
    first, body = subscriber.read()
    assert first & 0xF0 == 0x30
    return body.rsplit(b"\0", 1)[-1].decode()


def try_it(port, topic, address, interrupt, back):
    subscriber = connect(address, port, f"subscriber-{topic}")
    subscriber.subscribe(topic)
    publisher = connect(ADDRESSES[1], port, f"publisher-{topic}")
    publisher.publish(topic, "first")
    assert unacknowledged(subscriber) == "first"
    interrupt(subscriber)
    # A cluster elects another leader within seconds.
    time.sleep(10)
    subscriber = connect(back, port, f"subscriber-{topic}")
    start = time.monotonic()
    print(f"  back: Session Present {int(subscriber.session_present)}")
    publisher.publish(topic, "second")
    for _ in range(2):
        message = subscriber.receive(timeout=120)
        late = time.monotonic() - start
        when = "within 5 s" if late < 5 else "within 30 to 90 s" if 30 < late < 90 else f"after {late:.1f} s"
        print(f"  {when}: {message.payload}{', DUP' if message.is_duplicate else ''}")
    subscriber.disconnect()


def main(broker):
    found = free_ports()
    ports = [next(found) for _ in range(3)]
    found.close()
    nodes = start(broker, ports)
    try:
        wait_until_they_run(nodes)
        print("the connection ends")
        try_it(ports[0], "a", ADDRESSES[0], lambda client: client.socket.close(), ADDRESSES[1])
        print("its node is killed")
        try_it(ports[0], "b", ADDRESSES[0], lambda _: os.killpg(nodes[0].pid, signal.SIGKILL), ADDRESSES[1])
    finally:
        for node in nodes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()


main(sys.argv[1])
PY

cat > expected <<'TABLE'
RabbitMQ 4.3.6-1
the connection ends
  back: Session Present 1
  within 5 s: first, DUP
  within 5 s: second
its node is killed
  back: Session Present 1
  within 5 s: second
  within 30 to 90 s: first, DUP
TABLE

"$broker" install rabbitmq-4.3 2>/dev/null
{
  echo "RabbitMQ $("$broker" version rabbitmq-4.3)"
  PYTHONPATH=$here python3 clients.py "$broker"
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
