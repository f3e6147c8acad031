#!/usr/bin/env bash
# One would guess: the messages that a client finds in its Session when it is back are all treated alike. DUP is 0, for
# the first attempt to send them (MQTT v5.0, section 3.3.1.1). Those whose Message Expiry Interval has passed do not
# come [MQTT-3.3.2-5], and the others have what is left of it [MQTT-3.3.2-6].
#
# What happens: with ejabberd it is so, except for the first message that was published while the client was away. It
# comes with DUP 1 and with its whole interval, also when its time is over. ejabberd sends a client one message at a
# time, and takes that one for sent. If the client left another one without an answer, that has its place.
#
# Versions: ejabberd 24.12-3+deb13u2 (Debian 13), 26.07-1 (Debian forky).
#
# Why it matters: a device that connects after a while carries out a command that was not to reach it any more, and the
# interval that comes with it says that it is fresh. A consumer that takes DUP 1 for "I may have had this" looks up, or
# skips, a message that it never had. In a test with one message, ejabberd seems to have no expiry at all.
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
import struct
import sys
import time

from brokers import running
from mqtt import Client

# The Message Expiry Interval, and for how many seconds the client is away.
CASES = ((None, 1.5), (9, 4.5), (2, 4.5))


def try_case(address, expiry, seconds):
    name = f"client-{expiry}"
    client = Client(address, name, expiry=60)
    client.subscribe(name)
    client.disconnect()
    publisher = Client(address, "publisher")
    # As ejabberd counts whole seconds of the clock, so does this.
    time.sleep(1.1 - time.time() % 1)
    properties = b"" if expiry is None else b"\x02" + struct.pack(">I", expiry)
    for payload in ("first", "second", "third"):
        assert publisher.publish(name, payload, properties=properties) == 0, "no Success"
    publisher.disconnect()
    time.sleep(seconds)
    client = Client(address, name, clean_start=False, expiry=60)
    assert client.session_present, "no session"
    came = []
    while message := client.receive(timeout=2):
        words = [message.payload]
        if message.is_duplicate:
            words.append("DUP")
        if message.properties:
            assert (message.properties[0], len(message.properties)) == (2, 5), "another property"
            words.append(f"{struct.unpack('>I', message.properties[1:])[0]} s")
        came.append(" ".join(words))
    client.disconnect()
    published = "without an interval" if expiry is None else f"for {expiry} s"
    return f"  published {published}, {seconds} s later: {', '.join(came) or 'none'}"


def run(program, name):
    with running(program, name) as address:
        return [try_case(address, *case) for case in CASES]


program, *names = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor() as pool:
    for name, lines in zip(names, pool.map(run, [program] * len(names), names)):
        print(name, *lines, sep="\n")
PY

cat > expected <<'TABLE'
ejabberd 24.12-3+deb13u2, 26.07-1
ejabberd-24.12
  published without an interval, 1.5 s later: first DUP, second, third
  published for 9 s, 4.5 s later: first DUP 9 s, second 5 s, third 5 s
  published for 2 s, 4.5 s later: first DUP 2 s
ejabberd-26.07
  published without an interval, 1.5 s later: first DUP, second, third
  published for 9 s, 4.5 s later: first DUP 9 s, second 5 s, third 5 s
  published for 2 s, 4.5 s later: first DUP 2 s
TABLE

"$broker" install ejabberd-24.12 ejabberd-26.07 2>/dev/null
{
  echo "ejabberd $("$broker" version ejabberd-24.12), $("$broker" version ejabberd-26.07)"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python3 clients.py "$broker" ejabberd-24.12 ejabberd-26.07
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
