// Receives what it publishes, shows a refusal, and answers a request, as the first program of the package in Node.js.
// The broker's URL is the query: `?ws://localhost:8080/mqtt`.

import { connect } from 'mqtt-wasi';

const show = (line) => document.querySelector('#out').append(`${line}\n`);

async function main(url) {
  const client = await connect(url, { keepAliveSeconds: 30 });

  await client.subscribe('sensors/+', { qos: 1 });
  await client.publish('sensors/kitchen', '21.5', { qos: 1 });
  for await (const message of client.messages()) {
    show(`${message.topic}: ${message.text}`);
    break;
  }

  try {
    await client.publish('sensors/+', '21.5');
  } catch (error) {
    show(`refused: ${error.kind} ${error.code}`);
  }

  await client.subscribe('sum');
  const reply = client.request('sum', '[1, 2, 3]');
  const request = await client.nextRequest(5000);
  await client.reply(request, String(request.message.json().reduce((sum, number) => sum + number)));
  show(`reply: ${(await reply).text}`);

  // The page goes on while a call waits.
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 10);
  const nothing = await client.receive(1000);
  clearInterval(timer);
  show(`alive: ${nothing === undefined && ticks > 20}`);

  await client.subscribe('large', { qos: 1 });
  const large = new Uint8Array(1_048_576).map((_, index) => index % 251);
  await client.publish('large', large, { qos: 1 });
  const { bytes } = await client.receive(60_000);
  show(`large: ${bytes.length === large.length && bytes.every((byte, index) => byte === large[index])}`);

  await client.disconnect();
}

main(decodeURIComponent(location.search.slice(1)) || 'ws://localhost:8080/mqtt')
  .catch((error) => show(String(error)))
  // For `serve.js`.
  .finally(() => fetch('/done', { method: 'POST', body: document.querySelector('#out').textContent }));
