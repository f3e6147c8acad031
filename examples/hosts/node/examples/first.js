// Receives what it publishes, shows a refusal, and answers a request: `node first.js mqtt://localhost`.

import { connect } from 'mqtt-wasi';

const url = process.argv[2] ?? 'mqtt://localhost';
const client = await connect(url, { keepAliveSeconds: 30 });

await client.subscribe('sensors/+', { qos: 1 });
await client.publish('sensors/kitchen', '21.5', { qos: 1, userProperties: { unit: 'celsius' } });
for await (const message of client.messages()) {
  console.log(`${message.topic}: ${message.text}`);
  break;
}

try {
  await client.publish('sensors/+', '21.5');
} catch (error) {
  // `error.message` tells it in words.
  console.log(`refused: ${error.kind} ${error.code}`);
}

const server = await connect(url);
await server.subscribe('sum');
const serving = (async () => {
  for await (const request of server.requests()) {
    const sum = request.message.json().reduce((sum, number) => sum + number);
    await server.reply(request, String(sum));
  }
})();
console.log(`reply: ${(await client.request('sum', '[1, 2, 3]')).text}`);

await server.disconnect();
await serving;
await client.disconnect();
