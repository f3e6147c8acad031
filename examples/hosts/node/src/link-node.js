// The thread with the sockets: one for all clients of a process.

import { MessageChannel, Worker } from 'node:worker_threads';

import { newBell } from './shared.js';

let sockets;

/// A way for a client to its sockets.
export function link() {
  if (!sockets) {
    sockets = new Worker(new URL('./io-node.js', import.meta.url), { name: 'mqtt-wasi sockets', execArgv: [] });
    sockets.unref();
  }
  const { port1, port2 } = new MessageChannel();
  const bell = newBell();
  sockets.postMessage({ port: port2, bell }, [port2]);
  port1.unref();
  return { port: port1, bell };
}
