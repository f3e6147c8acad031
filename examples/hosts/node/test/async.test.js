import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { MqttError, connect } from 'mqtt-wasi';

import { cpu, movedBroker, topic, url } from './support.js';

async function withClient(use, options) {
  const client = await connect(url, options);
  try {
    await use(client);
  } finally {
    await client.disconnect();
  }
}

test('a message arrives with its properties', () =>
  withClient(async (client) => {
    const to = topic('properties');
    assert.equal(await client.subscribe(to, { qos: 1 }), 1);
    const sent = { qos: 1, contentType: 'text/plain', userProperties: [['a', '1'], ['a', '2']], correlationData: 'id' };
    assert.equal(await client.publish(to, 'héllo', sent), 0);
    const message = await client.receive(60_000);
    assert.equal(message.topic, to);
    assert.equal(message.payload, 'héllo');
    assert.equal(message.qos, 1);
    assert.equal(message.contentType, 'text/plain');
    assert.deepEqual(message.correlationData, new Uint8Array([105, 100]));
    assert.deepEqual(message.userProperties.filter(([name]) => name === 'a'), [['a', '1'], ['a', '2']]);
  }));

test('bytes stay bytes, up to a megabyte', () =>
  withClient(async (client) => {
    const to = topic('bytes');
    await client.subscribe(to);
    for (const size of [0, 1, 65_536, 1_048_576]) {
      const bytes = Uint8Array.from({ length: size }, (_, index) => (index * 7 + size) % 256);
      await client.publish(to, bytes);
      const message = await client.receive(60_000);
      assert.equal(Buffer.compare(message.payload, bytes), 0);
    }
  }));

test('for await takes the messages in order, and ends with the client', () =>
  withClient(async (client) => {
    const to = topic('order');
    await client.subscribe(to, { qos: 1 });
    const sent = Array.from({ length: 500 }, (_, index) => String(index));
    const published = Promise.all(sent.map((text) => client.publish(to, text, { qos: 1 })));
    const texts = [];
    for await (const message of client.messages({ atOnce: 10 })) {
      texts.push(message.text);
      if (texts.length === 500) break;
    }
    assert.deepEqual(texts, sent);
    assert.deepEqual(new Set(await published), new Set([0]));
    setTimeout(() => client.disconnect(), 50);
    for await (const message of client.messages()) assert.fail(`nothing was published, and ${message.topic} came`);
  }));

test('the event loop lives while a call waits, and the wait costs nothing', () =>
  withClient(async (client) => {
    const to = topic('ticks');
    await client.subscribe(to);
    let received;
    const receiving = client.receive(60_000).then((message) => (received = message.text));
    for (let tick = 0; tick < 20; tick += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(received, undefined, 'the call still waits');
    await client.publish(to, 'now');
    assert.equal(await receiving, 'now');
    const before = process.cpuUsage();
    assert.equal(await client.receive(3000), undefined);
    const used = cpu(before);
    assert.ok(used < 150, `3 seconds of waiting took ${used} ms of processor time`);
  }));

test('other calls go on while one waits', () =>
  withClient(async (client) => {
    const to = topic('meanwhile');
    await client.subscribe(to);
    const received = client.receive();
    await client.publish(topic('elsewhere'), 'x', { qos: 1 });
    await client.publish(to, 'now', { qos: 1 });
    assert.equal((await received).text, 'now');
  }));

test('a call can be given up by a signal', () =>
  withClient(async (client) => {
    const to = topic('signal');
    await client.subscribe(to);
    await assert.rejects(client.receive(undefined, { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
    await client.publish(to, 'still here');
    assert.equal((await client.receive(60_000)).text, 'still here');
  }));

test('a failure is an error with words, a kind, a code and a Reason Code', () =>
  withClient(async (client) => {
    const error = await client.publish('a/+', 'x').then(assert.fail, (error) => error);
    assert.ok(error instanceof MqttError && error instanceof Error);
    assert.match(String(error), /^MqttError: .*wildcards/);
    assert.deepEqual([error.kind, error.code, error.reasonCode], ['wrong-call', 'invalid-argument', undefined]);
    await assert.rejects(client.publish('t', { a: 1 }), { kind: 'wrong-call', message: /JSON\.stringify/ });
    await assert.rejects(client.publish('t', 'x', { quality: 1 }), { kind: 'wrong-call', message: /"quality".*qos/ });
    await assert.rejects(client.subscribe('a/#/b'), { kind: 'wrong-call' });
    await assert.rejects(connect(url, { clientID: 'x' }), { message: /"clientID".*clientId/ });
    await assert.rejects(connect('mqtt://127.0.0.1:1'), { kind: 'connection-over', code: 'port-closed' });
    await assert.rejects(connect('nonsense'), { kind: 'wrong-call', code: 'invalid-url' });
  }));

test('a request gets its reply, or the reason why not', () =>
  withClient(async (client) => {
    await withClient(async (server) => {
      const to = topic('add');
      await server.subscribe(to, { qos: 1 });
      const serving = (async () => {
        for await (const request of server.requests()) {
          const numbers = request.message.json();
          if (numbers.length === 0) await server.failRequest(request, 'nothing to add');
          else await server.reply(request, String(numbers.reduce((sum, number) => sum + number)));
        }
      })();
      const replies = await Promise.all([[1, 2], [3, 4]].map((numbers) => client.request(to, JSON.stringify(numbers))));
      assert.deepEqual(replies.map((reply) => reply.text), ['3', '7']);
      const why = { kind: 'refused', code: 'request-failed', message: /nothing to add/ };
      await assert.rejects(client.request(to, '[]'), why);
      await server.disconnect();
      await serving;
    });
    await assert.rejects(client.request(topic('nobody'), 'x', { timeoutMs: 300 }), MqttError);
  }));

test('the broker may be connected to, and nothing else', async () => {
  const broker = await movedBroker();
  try {
    const options = { reconnect: true, reconnectAttempts: 1 };
    const error = await connect(broker.url, options).then(assert.fail, (error) => error);
    assert.equal(broker.visits.other, 0, String(error));
    await assert.rejects(connect(broker.url, { ...options, firstConnectMs: 3000, allow: broker.other }));
    assert.notEqual(broker.visits.other, 0, 'what is allowed is reached');
  } finally {
    broker.close();
  }
});

test('a login may have any characters', () =>
  connect(url.replace('//', '//us/er:p@ss%40@')).then((client) => client.disconnect()));

test('a name is looked up', () =>
  connect(url.replace('127.0.0.1', 'localhost')).then((client) => client.disconnect()));

test('a snapshot continues the session', async () => {
  const clientId = topic('snapshot').replaceAll('/', '-');
  const options = { clientId, sessionExpiryIntervalSeconds: 60 };
  const first = await connect(url, options);
  const to = topic('kept');
  await first.subscribe(to, { qos: 1 });
  const snapshot = await first.snapshot();
  await first.disconnect();
  const second = await connect(url, { ...options, snapshot });
  // By the broker, or by the client where the broker has lost it.
  await second.publish(to, 'still', { qos: 1 });
  assert.equal((await second.receive(60_000)).text, 'still');
  await second.disconnect({ sessionExpiryIntervalSeconds: 0 });
});

const { MQTT_TLS_URL: tlsUrl, MQTT_CA: ca } = process.env;

test('TLS, with an authority of one\'s own', { skip: !tlsUrl && 'MQTT_TLS_URL is not set' }, async () => {
  const client = await connect(tlsUrl, { ca: readFileSync(ca) });
  const to = topic('tls');
  await client.subscribe(to, { qos: 1 });
  await client.publish(to, 'x'.repeat(300_000), { qos: 1 });
  assert.equal((await client.receive(60_000)).text.length, 300_000);
  await client.disconnect();
  await assert.rejects(connect(tlsUrl), { kind: 'not-trusted', code: 'tls-unknown-issuer' });
});
