// The thread of a client in Node.js.

import { parentPort, workerData } from 'node:worker_threads';

import { run } from './turns.js';

const { instantiate } = await import(`../dist/${workerData.name}.js`);
const port = {
  postMessage: (message) => parentPort.postMessage(message),
  set onmessage(listener) {
    parentPort.on('message', (data) => listener({ data }));
  },
};
run({ instantiate, init: workerData, port, soon: setImmediate });
