// The face that does not block, in Node.js.

import { Worker } from 'node:worker_threads';

import { Client } from './async.js';
import { link } from './link-node.js';
import { coreModule } from './modules-node.js';
import { modules } from '../dist/modules.js';
import { needsTls } from './options.js';

export { Client } from './async.js';
export { MqttError } from './error.js';
export { Message } from './message.js';

/// Connects to a broker.
export function connect(url, options) {
  return open(String(url), options, 'connect');
}

/// Begins to connect with enhanced authentication.
export function start(url, options) {
  return open(String(url), options, 'start');
}

function open(url, options, how) {
  return Client.open(({ message, ended }) => {
    const name = needsTls(url, options) ? 'mqtt-tls' : 'mqtt';
    const { port, bell } = link();
    const compiled = Object.fromEntries(modules[name].map((path) => [path, coreModule(path)]));
    const worker = new Worker(new URL('./client-node.js', import.meta.url), {
      name: 'mqtt-wasi client',
      execArgv: [],
      workerData: { url, options, how, name, modules: compiled, link: { port, bell } },
      transferList: [port],
    });
    worker.on('message', message).on('error', ended);
    return {
      postMessage: (call) => worker.postMessage(call),
      terminate: () => void worker.terminate(),
      keepAlive: (isWaiting) => (isWaiting ? worker.ref() : worker.unref()),
    };
  });
}
