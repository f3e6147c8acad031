#!/usr/bin/env bash
# One would guess: `subscribe` of MQTT.js sends a SUBSCRIBE, also for a filter that is subscribed already. The server
# replaces the subscription [MQTT-3.8.4-3] and, with Retain Handling 0, sends the retained messages again
# [MQTT-3.8.4-4]. So one changes the QoS, No Local, Retain As Published or the Subscription Identifier.
#
# What happens: nothing is sent unless the QoS is higher than before, whatever else is different. The callback has no
# error, and an empty list. So the QoS is not lowered, own messages come in spite of No Local, the RETAIN flag and the
# Subscription Identifier are missing, and retained messages do not come. After `unsubscribe` all of it works.
#
# Versions: mqtt (MQTT.js) 5.16.0, with mosquitto 2.1.2-3 (Debian forky).
#
# Why it matters: two parts of a program that share a client and subscribe to the same filter, each with its options:
# the second is told success, has none of its options, and never gets what is retained. In place of an error there is
# only a list without its filter.
#
# Needs node 20 or newer with npm, Debian's apt and dpkg, and python3. Broker and clients use loopback and a port that
# the system chooses.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
broker=$here/../host-tests/brokers/broker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# Where the broker is unpacked.
export XDG_CACHE_HOME=$work

cat > package.json <<'JSON'
{ "private": true, "type": "module", "dependencies": { "mqtt": "5.16.0" } }
JSON

cat > subscribe.js <<'JS'
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import mqtt from "mqtt";

const url = process.argv[2];
const publisher = mqtt.connect(url, { clientId: "publisher", protocolVersion: 5 });
await publisher.publishAsync("state", "kept", { qos: 1, retain: true });

async function tryOptions(title, options, unsubscribeFirst = false) {
  const client = mqtt.connect(url, { clientId: "client", protocolVersion: 5 });
  let sent = 0;
  let came = [];
  client.on("packetsend", ({ cmd }) => (sent += cmd === "subscribe"));
  client.on("message", (topic, payload, { qos, retain, properties }) => {
    const identifier = properties?.subscriptionIdentifier ?? "none";
    came.push(`${payload} (QoS ${qos}, RETAIN ${Number(retain)}, Subscription Identifier ${identifier})`);
  });
  await once(client, "connect");
  await client.subscribeAsync("state", { qos: 1 });
  await sleep(300);
  if (unsubscribeFirst) await client.unsubscribeAsync("state");
  sent = 0;
  came = [];
  const granted = await client.subscribeAsync("state", options);
  await sleep(300);
  await client.publishAsync("state", "own", { qos: 1 });
  await publisher.publishAsync("state", "kept", { qos: 1, retain: true });
  await sleep(300);
  console.log(`${title}: ${sent} sent, callback has ${granted.length}, came:`);
  for (const message of came) console.log(`  ${message}`);
  await client.endAsync();
}

const all = { qos: 0, nl: true, rap: true, rh: 0, properties: { subscriptionIdentifier: 5 } };
await tryOptions("the same again", { qos: 1, rh: 0 });
await tryOptions("all options changed, lower QoS", all);
await tryOptions("all options changed, same QoS", { ...all, qos: 1 });
await tryOptions("all options changed, higher QoS", { ...all, qos: 2 });
await tryOptions("all options changed, lower QoS, after unsubscribe", all, true);
await publisher.endAsync();
JS

cat > expected <<'TABLE'
mqtt 5.16.0, mosquitto 2.1.2-3
the same again: 0 sent, callback has 0, came:
  own (QoS 1, RETAIN 0, Subscription Identifier none)
  kept (QoS 1, RETAIN 0, Subscription Identifier none)
all options changed, lower QoS: 0 sent, callback has 0, came:
  own (QoS 1, RETAIN 0, Subscription Identifier none)
  kept (QoS 1, RETAIN 0, Subscription Identifier none)
all options changed, same QoS: 0 sent, callback has 0, came:
  own (QoS 1, RETAIN 0, Subscription Identifier none)
  kept (QoS 1, RETAIN 0, Subscription Identifier none)
all options changed, higher QoS: 1 sent, callback has 1, came:
  kept (QoS 1, RETAIN 1, Subscription Identifier 5)
  kept (QoS 1, RETAIN 1, Subscription Identifier 5)
all options changed, lower QoS, after unsubscribe: 1 sent, callback has 1, came:
  kept (QoS 0, RETAIN 1, Subscription Identifier 5)
  kept (QoS 0, RETAIN 1, Subscription Identifier 5)
TABLE

"$broker" install mosquitto-2.1 2>/dev/null
npm install --silent --no-audit --no-fund
cat > run.py <<'PY'
import subprocess
import sys

from brokers import running

with running(sys.argv[1], "mosquitto-2.1") as (host, port):
    subprocess.run(["node", "subscribe.js", f"mqtt://{host}:{port}"], check=True, timeout=60)
PY
{
  version=$(node -p 'JSON.parse(fs.readFileSync("node_modules/mqtt/package.json")).version')
  echo "mqtt $version, mosquitto $("$broker" version mosquitto-2.1)"
  PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1 python3 run.py "$broker"
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
