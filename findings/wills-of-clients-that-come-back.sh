#!/usr/bin/env bash
# One would guess: brokers agree on the Will Message of a client that comes back, since section 3.1.3.2.2 of MQTT v5.0
# goes through the cases. It is delayed until the Will Delay Interval has passed or the Session ends, whichever happens
# first. If the client is back in its Session before that, it MUST NOT be sent [MQTT-3.1.3-9]. If another connection
# takes over, it "is sent unless the new connection specifies Clean Start of 0 and the Will Delay is greater than zero".
# With Clean Start 1 it is sent, "because the Session ends".
#
# What happens: ejabberd does as the section says. mosquitto sends the will only if there is no delay and the new
# connection has Clean Start 1: in all other cases nobody hears that the client was away. RabbitMQ goes by the Will
# Delay Interval of the new connection in place of the old one's: a client that takes over without a will, with Clean
# Start 0, is back in its Session, and three seconds later its old will says that it is gone. It also waits for the
# delay though the Session has ended, and if the old connection was lost before, it sends none. Where RabbitMQ sends a
# will after the delay, it does not do so each time: a quarter to all of the tries had it. So each case is tried 20
# times here, and the table has what came at least once. Everything else was the same in all tries.
#
# Versions: mosquitto 2.1.2-3, ejabberd 26.07-1, RabbitMQ 4.3.6-1 (all from Debian forky).
#
# Why it matters: a client whose network changed takes over from its own half-open connection. Whoever shows by wills
# which devices are there has one that is called gone while it works, or misses the restart of another.
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
import threading
import time

from brokers import running
from mqtt import Client

DELAY = 3
ROUNDS, AT_ONCE = 4, 5
# How the first connection ends, its Will Delay Interval, Clean Start of the second, and whether that has a will, too,
# with the same delay. Then whether the first will is to be sent.
CASES = (
    ("is taken over", 0, 1, True, "at once"),
    ("is taken over", 0, 0, True, "at once"),
    ("is taken over", DELAY, 1, True, "at once"),
    ("is taken over", DELAY, 0, True, "no"),
    ("is taken over", DELAY, 0, False, "no"),
    ("was lost", DELAY, 1, True, "at once"),
    ("was lost", DELAY, 0, True, "no"),
)


def try_case(address, number_of_case, number_of_try, results):
    end, delay, clean_start, has_will, _ = CASES[number_of_case]
    name = f"{number_of_case}-{number_of_try}"
    client, topic = f"client-{name}", f"wills/{name}"
    watcher = Client(address, f"watcher-{name}")
    watcher.subscribe(topic)
    first = Client(address, client, expiry=600, will=(topic, delay))
    # Some brokers have no Session to go on with if it is without a subscription.
    first.subscribe(f"other/{name}")
    if end == "was lost":
        first.socket.close()
        time.sleep(1)
    will = (topic, delay) if has_will else None
    second = Client(address, client, clean_start=bool(clean_start), expiry=600, will=will)
    back = time.monotonic()
    assert second.session_present != bool(clean_start), "another session"
    message = watcher.receive(timeout=2 * DELAY)
    seconds = time.monotonic() - back
    second.disconnect()
    assert message is None or message.payload == "gone", "another message"
    if message is None:
        outcome = "no"
    else:
        outcome = "at once" if seconds < DELAY - 0.5 else f"after {DELAY} s"
    results[number_of_case].append(outcome)


def summary(outcomes):
    """What was seen: "no" only if no try had a will."""
    if len(outcomes) < ROUNDS * AT_ONCE:
        return "failed"
    return " or ".join(sorted(set(outcomes) - {"no"})) or "no"


def run(program, name):
    """What each case has with the broker."""
    results = [[] for _ in CASES]
    with running(program, name) as address:
        for number_of_round in range(ROUNDS):
            tries = range(number_of_round * AT_ONCE, (number_of_round + 1) * AT_ONCE)
            threads = [
                threading.Thread(target=try_case, args=(address, number_of_case, number_of_try, results))
                for number_of_case in range(len(CASES))
                for number_of_try in tries
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    print(name, *results, sep="\n  ", file=sys.stderr)
    return results


program, *names = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor() as pool:
    columns = list(pool.map(run, [program] * len(names), names))
row = "{:14} {:>5} {:>11} {:9} {:8} {:10} {:9} {}".format
print(row("first one", "delay", "Clean Start", "new will", "MQTT", "mosquitto", "ejabberd", "RabbitMQ"))
for case, (end, delay, clean_start, has_will, right) in enumerate(CASES):
    seen = (summary(column[case]) for column in columns)
    print(row(end, delay, clean_start, "the same" if has_will else "none", right, *seen))
PY

cat > expected <<'TABLE'
mosquitto 2.1.2-3, ejabberd 26.07-1, RabbitMQ 4.3.6-1
first one      delay Clean Start new will  MQTT     mosquitto  ejabberd  RabbitMQ
is taken over      0           1 the same  at once  at once    at once   at once
is taken over      0           0 the same  at once  no         at once   at once
is taken over      3           1 the same  at once  no         at once   after 3 s
is taken over      3           0 the same  no       no         no        no
is taken over      3           0 none      no       no         no        after 3 s
was lost           3           1 the same  at once  no         at once   no
was lost           3           0 the same  no       no         no        no
TABLE

"$broker" install mosquitto-2.1 ejabberd-26.07 rabbitmq-4.3 2>/dev/null
mkdir data
{
  echo "mosquitto $("$broker" version mosquitto-2.1), ejabberd $("$broker" version ejabberd-26.07)," \
    "RabbitMQ $("$broker" version rabbitmq-4.3)"
  PYTHONPATH=$here python3 clients.py "$broker" mosquitto-2.1 ejabberd-26.07 rabbitmq-4.3
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
