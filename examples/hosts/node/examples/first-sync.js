// As first.js, with calls that block: `node first-sync.js mqtt://localhost`.

import { connect } from 'mqtt-wasi/sync';

const client = connect(process.argv[2] ?? 'mqtt://localhost', { keepAliveSeconds: 30 });

client.subscribe('sensors/+', { qos: 1 });
client.publish('sensors/kitchen', '21.5', { qos: 1, userProperties: { unit: 'celsius' } });
const message = client.receive(5000);
console.log(`${message.topic}: ${message.text}`);

try {
  client.publish('sensors/+', '21.5');
} catch (error) {
  // `error.message` tells it in words.
  console.log(`refused: ${error.kind} ${error.code}`);
}

client.subscribe('sum');
const reply = client.startRequest({ topic: 'sum', payload: '[1, 2, 3]' });
const request = client.nextRequest(5000);
client.reply(request, String(request.message.json().reduce((sum, number) => sum + number)));
console.log(`reply: ${client.waitForReply(reply, 5000).text}`);

client.disconnect();
