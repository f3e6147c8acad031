// What the tests of both faces need: the broker of `MQTT_URL`, and a broker that names another server.

import { createServer } from 'node:net';

export const url = process.env.MQTT_URL;
if (!url) throw new Error('MQTT_URL has to be the URL of a broker');

let topics = 0;

/// A topic that no other test uses.
export const topic = (name) => `mqtt-wasi/node/${process.pid}/${(topics += 1)}/${name}`;

/// Processor time of this process since then, in milliseconds.
export const cpu = (since) => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
};

/// A server that answers CONNECT with 0x9D, Server moved, and the name of another server; and that other server, which
/// counts who connects.
export async function movedBroker() {
  const visits = { other: 0 };
  const other = createServer((socket) => {
    visits.other += 1;
    socket.destroy();
  });
  const otherPort = await listen(other);
  const name = Buffer.from(`127.0.0.1:${otherPort}`);
  const property = [0x1c, 0, name.length, ...name];
  const connack = Buffer.from([0x20, 3 + property.length, 0, 0x9d, property.length, ...property]);
  const broker = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(connack));
  });
  const port = await listen(broker);
  return {
    url: `mqtt://127.0.0.1:${port}`,
    other: `127.0.0.1:${otherPort}`,
    visits,
    close() {
      broker.close();
      other.close();
    },
  };
}

function listen(server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}
