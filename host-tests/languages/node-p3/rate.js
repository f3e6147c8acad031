// Publishes 64 bytes at QoS 0 by the component for WASI 0.3, as often as the last argument says: one by one, or in
// batches. Prints how much processor time that took, in microseconds: that of the client and of Node.js.
import { pathToFileURL } from 'node:url';

const [component, url, how, times] = process.argv.slice(2);
const { mqtt } = await import(pathToFileURL(component));

const BATCH = 1_000;
const payload = { tag: 'text', val: 'x'.repeat(64) };
const message = { topic: 'mqtt-wasi/guest/rate', payload, qos: 'at-most-once', retain: false, properties: [] };

const client = await mqtt.connect(url, undefined);
const before = process.cpuUsage();
let left = Number(times);
if (how === 'batches') {
  for (; left >= BATCH; left -= BATCH) {
    for (const result of await client.publishBatch(Array(BATCH).fill(message))) {
      if (result.tag !== 'ok') throw new Error(JSON.stringify(result.val));
    }
  }
}
for (; left > 0; left--) await client.publish(message.topic, payload, message.qos, message.retain);
await client.disconnect(undefined);
const { user, system } = process.cpuUsage(before);
console.log(user + system);
// The sockets of the shim keep the program alive.
process.exit(0);
