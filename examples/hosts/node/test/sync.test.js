import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { MqttError, connect } from 'mqtt-wasi/sync';

import { cpu, topic, url } from './support.js';

function withClient(use, options) {
  const client = connect(url, options);
  try {
    use(client);
  } finally {
    client.disconnect();
  }
}

test('messages come in order, one by one and together', () =>
  withClient((client) => {
    const to = topic('order');
    client.subscribe(to, { qos: 1 });
    client.publish(to, 'one', { qos: 1 });
    client.publish(to, new Uint8Array([1, 2]), { qos: 1 });
    assert.equal(client.receive(60_000).payload, 'one');
    assert.deepEqual(client.receive(60_000).payload, new Uint8Array([1, 2]));
    const [first, last] = [{ topic: to, payload: 'a', qos: 1 }, { topic: to, payload: 'b' }];
    const results = client.publishBatch([first, { topic: 'a/+' }, last]);
    assert.ok(results[1] instanceof MqttError);
    assert.deepEqual([results[0], results[2]], [0, 0]);
    const texts = [];
    for (const message of client.messages()) {
      texts.push(message.text);
      if (texts.length === 2) break;
    }
    assert.deepEqual(texts.sort(), ['a', 'b']);
  }));

test('a wait costs nothing', () =>
  withClient((client) => {
    const before = process.cpuUsage();
    assert.equal(client.receive(3000), undefined);
    const used = cpu(before);
    assert.ok(used < 100, `3 seconds of waiting took ${used} ms of processor time`);
  }));

test('short waits do not spin either', () =>
  withClient((client) => {
    client.receive(5);
    const before = process.cpuUsage();
    for (let index = 0; index < 200; index += 1) assert.equal(client.receive(5), undefined);
    const used = cpu(before);
    assert.ok(used < 500, `200 waits of 5 ms took ${used} ms of processor time`);
  }));

test('a request is answered', () =>
  withClient((client) => {
    const to = topic('echo');
    client.subscribe(to);
    const id = client.startRequest({ topic: to, payload: 'x' }, 5000);
    const request = client.nextRequest(5000);
    client.reply(request, request.message.text + '!');
    assert.equal(client.waitForReply(id, 5000).text, 'x!');
  }));

test('errors have words', () => {
  const why = { name: 'MqttError', kind: 'connection-over', message: /127\.0\.0\.1:1/ };
  assert.throws(() => connect('mqtt://127.0.0.1:1'), why);
  withClient((client) => assert.throws(() => client.subscribe('#/a'), { kind: 'wrong-call' }));
});

test('what was published last is sent before the process ends', () =>
  withClient((client) => {
    const to = topic('last');
    client.subscribe(to);
    const program = `
      import { connect } from 'mqtt-wasi/sync';
      connect(process.argv[1]).publish(process.argv[2], 'bye');
      process.exit();`;
    execFileSync(process.execPath, ['--input-type=module', '--eval', program, url, to], { stdio: 'inherit' });
    assert.equal(client.receive(60_000)?.text, 'bye');
  }));

const { MQTT_TLS_URL: tlsUrl, MQTT_CA: ca } = process.env;

test('TLS', { skip: !tlsUrl && 'MQTT_TLS_URL is not set' }, () => {
  const client = connect(tlsUrl, { ca: readFileSync(ca, 'utf8'), onlyOwnCa: true });
  assert.equal(client.publish(topic('tls'), 'x', { qos: 1 }) < 0x80, true);
  client.disconnect();
});
