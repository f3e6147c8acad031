// The sockets of a browser: WebSockets, in a thread of their own.

import { serve } from './io.js';

/// More bytes than this that the browser has not sent: the client waits. The browser does not tell when it is less.
const MOST_BUFFERED = 1024 * 1024;
const LOOK_AGAIN_MS = 20;

/// Addresses for names, which a browser does not tell: 192.0.2.1 and so on are set aside for examples.
const addressOf = (index) => `192.0.2.${index + 1}`;

/// Connects to these endpoints: each has the host and the port that the component asks for, and a URL.
const transport = (endpoints) => ({
  dial(host, port, { connected, received, drained, ended, failed }) {
    const found = endpoints.find(
      (endpoint, index) => endpoint.port === port && (endpoint.host === host || addressOf(index) === host),
    );
    let socket, timer;
    let isOpen = false;
    // Later, as a socket does it.
    const fail = (code) => queueMicrotask(() => failed(code));
    if (!found) {
      fail('access-denied');
    } else {
      try {
        socket = new WebSocket(found.url, 'mqtt');
        socket.binaryType = 'arraybuffer';
        socket.onopen = () => {
          isOpen = true;
          connected();
        };
        // Text is not MQTT [MQTT-6.0.0-1].
        socket.onmessage = ({ data }) => (typeof data === 'string' ? socket.close() : received(new Uint8Array(data)));
        // A browser does not tell why.
        socket.onclose = ({ wasClean }) => {
          if (!isOpen) failed('connection-refused');
          else if (wasClean) ended();
          else failed('connection-reset');
        };
      } catch {
        // Such as ws:// on a page that came by https://.
        fail('access-denied');
      }
    }
    const look = () => {
      if (socket.bufferedAmount <= MOST_BUFFERED) drained();
      else timer = setTimeout(look, LOOK_AGAIN_MS);
    };
    return {
      write(bytes) {
        if (socket.readyState !== WebSocket.OPEN) return true;
        socket.send(bytes);
        if (socket.bufferedAmount <= MOST_BUFFERED) return true;
        timer = setTimeout(look, LOOK_AGAIN_MS);
        return false;
      },
      pause() {},
      resume() {},
      // A WebSocket has no half that is closed: what was sent is still sent.
      end: () => socket?.close(),
      close() {
        clearTimeout(timer);
        socket?.close();
      },
    };
  },

  async lookUp(name) {
    const index = endpoints.findIndex(({ host }) => host === name.toLowerCase());
    if (index < 0) throw { wasi: 'name-unresolvable' };
    return [addressOf(index)];
  },
});

const ends = new Map();

onmessage = ({ data: { begin, end, port, bell, endpoints } }) => {
  if (begin !== undefined) {
    ends.set(begin, serve(port, bell, transport(endpoints)));
  } else {
    ends.get(end)?.();
    ends.delete(end);
  }
};
