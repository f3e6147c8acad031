// How fast the package is on this machine: `node bench.js mqtt://localhost`.

import * as asynchronous from 'mqtt-wasi';
import * as sync from 'mqtt-wasi/sync';

const url = process.argv[2] ?? 'mqtt://localhost';
const text = 'x'.repeat(64);
const batch = Array.from({ length: 1000 }, () => ({ topic: 'bench', payload: text }));

/// The best of three, after one that is not counted, of `count` messages each: messages a second, and the processor
/// time of all threads for a message.
async function measure(what, count, run) {
  let [fastest, least] = [Infinity, Infinity];
  for (let time = 0; time < 4; time += 1) {
    const [began, before] = [performance.now(), process.cpuUsage()];
    await run();
    const { user, system } = process.cpuUsage(before);
    if (time === 0) continue;
    fastest = Math.min(fastest, (performance.now() - began) / 1000);
    least = Math.min(least, user + system);
  }
  const rate = String(Math.round(count / fastest)).padStart(9);
  console.log(`${rate}/s ${(least / count).toFixed(1).padStart(7)} µs  ${what}`);
}

async function idle(what, wait) {
  const before = process.cpuUsage();
  await wait();
  const { user, system } = process.cpuUsage(before);
  console.log(`${((user + system) / 1000).toFixed(1).padStart(9)} ms ${what}`);
}

const blocking = sync.connect(url);
await measure('sync: publish, QoS 0, 64 bytes', 20_000, () => {
  for (let index = 0; index < 20_000; index += 1) blocking.publish('bench', text);
});
await measure('sync: publishBatch of 1,000, QoS 0, 64 bytes', 100_000, () => {
  for (let index = 0; index < 100; index += 1) blocking.publishBatch(batch);
});
await measure('sync: publish, QoS 1, 64 bytes', 1_000, () => {
  for (let index = 0; index < 1_000; index += 1) blocking.publish('bench', text, { qos: 1 });
});
await idle('of processor time in 10 seconds of sync receive', () => blocking.receive(10_000));
blocking.disconnect();

const client = await asynchronous.connect(url);
await measure('async: publish, one awaited after the other, QoS 0', 2_000, async () => {
  for (let index = 0; index < 2_000; index += 1) await client.publish('bench', text);
});
await measure('async: publish, 1,000 at a time, QoS 1', 10_000, async () => {
  for (let index = 0; index < 10; index += 1) {
    await Promise.all(batch.map(({ topic, payload }) => client.publish(topic, payload, { qos: 1 })));
  }
});
await idle('of processor time in 10 seconds of async receive', () => client.receive(10_000));
await client.disconnect();
