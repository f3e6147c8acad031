// Receives what it publishes, shows a refusal, and answers a request: `node first.js mqtt://localhost`.

import { mqtt } from './generated/mqtt.js';

const url = process.argv[2] ?? 'mqtt://localhost';
const text = (words) => ({ tag: 'text', val: words });

const client = await mqtt.connect(url, undefined);
await client.subscribe('sensors/+', 'at-least-once');
// Both are under way at once. A list is empty once the time is over, here after 30 seconds.
const [[message]] = await Promise.all([
  client.receive(1, 30_000),
  client.publish('sensors/kitchen', text('21.5'), 'at-least-once', false),
]);
console.log(`${message.topic}: ${message.payload.val}`);

try {
  await client.publish('sensors/+', text('21.5'), 'at-most-once', false);
} catch (error) {
  // `error.payload.message` tells it in words.
  console.log(`refused: ${error.payload.kind} ${error.payload.name}`);
}

const server = await mqtt.connect(url, undefined);
await server.subscribe('sum', 'at-least-once');
const serving = (async () => {
  const request = await server.nextRequest(30_000);
  const sum = JSON.parse(request.message.payload.val).reduce((sum, number) => sum + number);
  await server.reply(request.id, text(String(sum)));
})();
const reply = await client.request('sum', text('[1, 2, 3]'), 'at-least-once', 30_000);
console.log(`reply: ${reply.payload.val}`);

await serving;
await server.disconnect();
await client.disconnect();
// The sockets of the shim keep the program alive.
process.exit(0);
