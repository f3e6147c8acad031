// The thread with the sockets: it moves bytes between them and the memory that is shared with the clients.

import * as shared from './shared.js';
import { Connection, End, LookUp, State } from './shared.js';

/// Serves the client at the other end of `port`. `transport` makes the connections: `dial(host, port, events)` and
/// `lookUp(name)`.
export function serve(port, memory, transport) {
  const bell = { words: new Int32Array(memory), port };
  const sockets = new Map();

  const commands = {
    connect({ connect: id, host, port: number, memory }) {
      sockets.set(id, new Socket(new Connection(memory), bell, (events) => transport.dial(host, number, events)));
    },
    send: ({ send }) => sockets.get(send)?.send(),
    resume: ({ resume }) => sockets.get(resume)?.resume(),
    shutdown: ({ shutdown, how }) => sockets.get(shutdown)?.shutdown(how),
    close({ close }) {
      sockets.get(close)?.close();
      sockets.delete(close);
    },
    async lookUp({ lookUp: name, memory }) {
      const lookUp = new LookUp(memory);
      try {
        lookUp.finish(await transport.lookUp(name));
      } catch (error) {
        lookUp.fail(error.wasi ?? 'name-unresolvable');
      }
      shared.ring(bell);
    },
  };

  /// The client is gone.
  const end = () => {
    for (const socket of sockets.values()) socket.close();
    sockets.clear();
  };

  port.onmessage = ({ data }) => {
    const command = commands[Object.keys(data)[0]];
    command?.(data);
  };
  return end;
}

/// How many bytes may wait for a client that does not take them, where the network cannot be told to stop.
const MOST_REST = 64 * 1024 * 1024;

const soon = globalThis.setImmediate;

class Socket {
  #connection;
  #bell;
  #link;
  /// What came and found no room, and how many bytes that is.
  #rest = [];
  #restLength = 0;
  #hasEnded = false;
  #isShut = false;
  #isClosed = false;

  constructor(connection, bell, dial) {
    this.#connection = connection;
    this.#bell = bell;
    this.#link = dial({
      connected: () => {
        connection.set(shared.STATE, State.done);
        shared.ring(bell);
      },
      received: (bytes) => this.#received(bytes),
      drained: () => this.send(),
      ended: () => this.#ended(),
      failed: (code) => this.#failed(code),
    });
  }

  /// Takes what waits to be sent, as long as the network takes it.
  send() {
    if (this.#isClosed || this.#connection.get(shared.STATE) !== State.done) return;
    const { outgoing } = this.#connection;
    const hadMore = outgoing.length > 0;
    while (outgoing.length > 0) {
      const takesMore = this.#link.write(outgoing.read(64 * 1024));
      shared.ring(this.#bell);
      // `drained` continues, and the client need not tell of more before that.
      if (!takesMore) return this.#connection.set(shared.IS_TOLD, 1);
    }
    if (this.#isShut) return this.#link.end();
    // While messages follow each other, it is cheaper to look once more than to be told of each.
    if (hadMore && soon) return soon(() => this.send());
    this.#connection.set(shared.IS_TOLD, 0);
    if (outgoing.length > 0) this.send();
  }

  resume() {
    const rest = this.#rest;
    this.#rest = [];
    this.#restLength = 0;
    for (const bytes of rest) this.#received(bytes);
    if (this.#rest.length > 0) return;
    this.#link.resume();
    if (this.#hasEnded) this.#ended();
  }

  shutdown(how) {
    if (how !== 'receive') {
      this.#isShut = true;
      this.send();
    }
  }

  /// Nobody listens any more; what was written is still sent, if the peer takes it soon.
  close() {
    this.#isShut = true;
    this.send();
    this.#isClosed = true;
    this.#link.close();
  }

  #received(bytes) {
    if (this.#isClosed) return;
    // In order: behind what came before.
    const taken = this.#rest.length > 0 ? 0 : this.#connection.incoming.write(bytes);
    if (taken < bytes.length) this.#keep(bytes.subarray(taken));
    shared.ring(this.#bell);
  }

  #keep(bytes) {
    this.#rest.push(bytes);
    this.#restLength += bytes.length;
    // A socket comes to a halt, but the WebSocket of a browser does not.
    if (this.#restLength > MOST_REST) {
      this.#failed('connection-aborted');
      return this.close();
    }
    this.#link.pause();
    this.#connection.set(shared.IS_PAUSED, 1);
    // The client may have made room before it could see that.
    const { incoming } = this.#connection;
    if (incoming.length === 0 && this.#connection.exchange(shared.IS_PAUSED, 0) === 1) this.resume();
  }

  #ended() {
    this.#hasEnded = true;
    if (this.#rest.length > 0) return;
    if (this.#connection.get(shared.END) === End.open) this.#connection.set(shared.END, End.closed);
    shared.ring(this.#bell);
  }

  #failed(code) {
    this.#connection.fail(code);
    this.#connection.set(shared.END, End.failed);
    shared.ring(this.#bell);
  }
}
