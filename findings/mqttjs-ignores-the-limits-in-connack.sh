#!/usr/bin/env bash
# One would guess: MQTT.js has no more messages of QoS 1 and 2 without an answer than the Receive Maximum in CONNACK
# allows [MQTT-3.3.4-9], and keeps the others until it is their turn: it has a store for them. A message that is larger
# than the Maximum Packet Size is not sent [MQTT-3.2.2-15], and its callback gets an error.
#
# What happens: MQTT.js sends all at once. With mosquitto and the default settings of both, of 100 messages that are
# published in a loop at QoS 2, some are refused with 0x97 Quota exceeded. They are not sent again: the callback has the
# error. A message that is too large is sent. mosquitto ends the connection, MQTT.js connects and begins with the same
# message, and so on: neither this one nor what was published after it ever arrives, and no callback is called. That the
# size is not looked at is in the README of MQTT.js; that it stops all others is not.
#
# Versions: mqtt (MQTT.js) 5.16.0, with mosquitto 2.1.2-3 (Debian forky).
#
# Why it matters: 20 messages at once are few for a program that sends what it collected while it was offline. And
# mosquitto 2.1 takes packets of up to 2,000,000 bytes, where 2.0 took any: one picture that is larger is the end of all
# that the client publishes.
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

cat > publish.js <<'JS'
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import mqtt from "mqtt";

const url = process.argv[2];
const connect = (clientId) =>
  mqtt.connect(url, { clientId, protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 600 } });

async function tooMany() {
  const subscriber = connect("subscriber");
  await subscriber.subscribeAsync("jobs", { qos: 2 });
  let came = 0;
  subscriber.on("message", () => (came += 1));

  const client = connect("many");
  const [connack] = await once(client, "connect");
  const jobs = Array.from({ length: 100 }, (_, job) => client.publishAsync("jobs", String(job), { qos: 2 }));
  const results = await Promise.allSettled(jobs);
  await sleep(1000);
  const refused = results.filter(({ status }) => status === "rejected");
  const errors = new Set(refused.map(({ reason }) => reason.message));
  console.log(`Receive Maximum ${connack.properties.receiveMaximum}, 100 published at QoS 2`);
  // How many they are is a matter of time.
  console.log(`  some: ${[...errors].join(", ")}`);
  console.log(`  all others came, and only these: ${came > 0 && came === 100 - refused.length}`);
  console.error(`  ${refused.length} of 100 refused`);
  client.end(true);
  subscriber.end(true);
}

async function tooLarge() {
  const client = connect("large");
  client.on("error", () => {});
  const [connack] = await once(client, "connect");
  let called = 0;
  for (const size of [3_000_000, 10, 10]) {
    client.publish("pictures", Buffer.alloc(size), { qos: 1 }, () => (called += 1));
  }
  await sleep(8000);
  console.log(`Maximum Packet Size ${connack.properties.maximumPacketSize}, published 3000000 bytes, 10 and 10`);
  console.log(`  after 8 s, callbacks called: ${called}`);
  client.end(true);
}

await tooMany();
await tooLarge();
process.exit();
JS

cat > expected <<'TABLE'
mqtt 5.16.0, mosquitto 2.1.2-3
Receive Maximum 20, 100 published at QoS 2
  some: Publish error: Quota exceeded
  all others came, and only these: true
Maximum Packet Size 2000000, published 3000000 bytes, 10 and 10
  after 8 s, callbacks called: 0
  connections that mosquitto ended since a packet was too large: more than two
TABLE

"$broker" install mosquitto-2.1 2>/dev/null
npm install --silent --no-audit --no-fund
port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest file %s\n' "$port" "$work/log" > mosquitto.conf
mqtt-wasi/brokers/mosquitto-2.1/usr/sbin/mosquitto -c mosquitto.conf 2>/dev/null &
mosquitto=$!
trap 'kill "$mosquitto"; rm -rf "$work"' EXIT
{
  version=$(node -p 'JSON.parse(fs.readFileSync("node_modules/mqtt/package.json")).version')
  echo "mqtt $version, mosquitto $("$broker" version mosquitto-2.1)"
  node publish.js "mqtt://127.0.0.1:$port"
  count=$(grep -c 'oversize packet' log || true)
  echo "  connections that mosquitto ended since a packet was too large: $([ "$count" -gt 2 ] && echo more than two)"
} > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
