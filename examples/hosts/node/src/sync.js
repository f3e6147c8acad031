// The face whose calls block, for scripts and tests. The event loop stands still meanwhile.

import { instantiate as plain } from '../dist/mqtt.js';
import { instantiate as tls } from '../dist/mqtt-tls.js';
import { BlockingClient, instance } from './blocking.js';
import { link } from './link-node.js';
import { coreModule } from './modules-node.js';
import { needsTls } from './options.js';

export { MqttError } from './error.js';
export { Message } from './message.js';

/// The longest wait for a message, so that a signal ends the process in between.
const SLICE = 1000;

/// How long the network may take the last bytes of a process, in milliseconds.
const LINGER = 500;

export class Client extends BlockingClient {
  #way;
  #watch;
  isClosed = false;

  constructor(way, made, ...rest) {
    super(made, ...rest);
    this.#way = way;
    this.#watch = made.watch;
    watches.add(made.watch);
  }

  /// The messages, one after the other, until the client is disconnected.
  *messages() {
    for (;;) {
      if (this.isClosed) return;
      const message = this.receive(SLICE);
      if (message) yield message;
    }
  }

  /// The requests to answer, one after the other.
  *requests() {
    for (;;) {
      if (this.isClosed) return;
      const request = this.nextRequest(SLICE);
      if (request) yield request;
    }
  }

  disconnect(options) {
    try {
      super.disconnect(options);
    } finally {
      this.close();
    }
  }

  close() {
    if (this.isClosed) return;
    this.isClosed = true;
    super.close();
    watches.delete(this.#watch);
    this.#way.port.close();
  }

  [Symbol.dispose ?? Symbol.for('dispose')]() {
    if (!this.isClosed) this.disconnect();
  }
}

/// Connects to a broker.
export function connect(url, options) {
  return open(url, options, 'connect');
}

/// Begins to connect with enhanced authentication.
export function start(url, options) {
  return open(url, options, 'start');
}

/// What the clients have written, which the thread with the sockets may not have sent yet.
const watches = new Set();
let isListening = false;

function open(url, options, how) {
  const instantiate = needsTls(url, options) ? tls : plain;
  const way = link();
  try {
    const client = new Client(way, instance({ instantiate, coreModule }, way, url, options), url, options, how);
    if (!isListening) process.once('exit', sendTheRest);
    isListening = true;
    return client;
  } catch (error) {
    way.port.close();
    throw error;
  }
}

/// A process that ends right after a call has published all the same.
function sendTheRest() {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (let ms = 0; ms < LINGER && [...watches].some((watch) => watch.hasUnsent); ms += 1) Atomics.wait(nobody, 0, 0, 1);
}
