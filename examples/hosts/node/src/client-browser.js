// The thread of a client in a browser.

import { instantiate } from '../dist/mqtt.js';
import { run } from './turns.js';

// Behind the messages that wait, as `setImmediate` of Node.js.
const { port1, port2 } = new MessageChannel();
const queue = [];
port1.onmessage = () => queue.shift()();
const soon = (call) => {
  queue.push(call);
  port2.postMessage(undefined);
};

const port = {
  postMessage: (message) => postMessage(message),
  set onmessage(listener) {
    onmessage = listener;
  },
};

onmessage = ({ data: init }) => run({ instantiate, init, port, soon });
