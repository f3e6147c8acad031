// All that the component asks of its host: sockets, a clock and randomness. The sockets are in another thread. Waiting
// is done by the processor's means for that, so it costs nothing.

import { format, parse, toWasi } from './addresses.js';
import * as shared from './shared.js';
import { Connection, End, ERRORS, LookUp, State } from './shared.js';

const dispose = Symbol.dispose ?? Symbol.for('dispose');

/// The longest wait in one piece, in milliseconds. Then the clock is looked at again.
const LONGEST_WAIT = 2 ** 30;

const now =
  globalThis.process?.hrtime?.bigint ?? (() => BigInt(Math.round(performance.now() * 1e6)));

export class Pollable {
  #isReady;

  constructor(isReady, at = undefined) {
    this.#isReady = isReady;
    this.at = at;
  }

  ready() {
    return this.#isReady();
  }

  block() {
    this.waiter.poll([this]);
  }
}

class IoError {
  #words;

  constructor(words) {
    this.#words = words;
  }

  toDebugString() {
    return this.#words;
  }
}

class Network {}

/// What can be seen of the connections from outside of the component.
export class Watch {
  /// Grows with each read that got bytes.
  reads = 0;
  connections = new Set();

  /// Whether bytes have come that the component has not read.
  get hasUnread() {
    return [...this.connections].some((connection) => connection.incoming.length > 0);
  }

  /// Whether bytes wait that the network has not taken.
  get hasUnsent() {
    return [...this.connections].some(
      (connection) => connection.outgoing.length > 0 && connection.get(shared.STATE) === State.done,
    );
  }
}

/// The imports of the component. `port` goes to the thread with the sockets; `bell` is memory shared with it.
export function imports({ port, bell, permissions, watch }) {
  const words = new Int32Array(bell);

  const poll = (pollables) => {
    for (;;) {
      const rung = Atomics.load(words, shared.RUNG);
      const ready = [];
      let until = undefined;
      pollables.forEach((pollable, index) => {
        if (pollable.ready()) ready.push(index);
        else if (pollable.at !== undefined && !(pollable.at >= until)) until = pollable.at;
      });
      if (ready.length > 0) return new Uint32Array(ready);
      const rest = until === undefined ? LONGEST_WAIT : Math.min(Number(until - now()) / 1e6, LONGEST_WAIT);
      if (rest > 0) Atomics.wait(words, shared.RUNG, rung, rest);
    }
  };
  const waiter = { poll };
  const pollable = (isReady, at) => Object.assign(new Pollable(isReady, at), { waiter });

  let ids = 0;

  class InputStream {
    constructor(socket) {
      this.socket = socket;
    }

    read(length) {
      const { connection, id } = this.socket;
      // Looked at first: what came before the end is all there then.
      const end = connection.get(shared.END);
      const bytes = connection.incoming.read(Number(length));
      if (bytes.length > 0) {
        watch.reads += 1;
        if (connection.exchange(shared.IS_PAUSED, 0) === 1) port.postMessage({ resume: id });
      } else if (end === End.failed) {
        throw this.socket.failure();
      } else if (end === End.closed) {
        throw { tag: 'closed' };
      }
      return bytes;
    }

    subscribe() {
      const { connection } = this.socket;
      return pollable(() => connection.incoming.length > 0 || connection.get(shared.END) !== End.open);
    }

    [dispose]() {
      this.socket.release();
    }
  }

  class OutputStream {
    constructor(socket) {
      this.socket = socket;
    }

    checkWrite() {
      const { connection, isFlushing } = this.socket;
      if (connection.get(shared.STATE) === State.failed) throw this.socket.failure();
      if (this.socket.isShut) throw { tag: 'closed' };
      if (isFlushing && connection.outgoing.length > 0) return 0n;
      this.socket.isFlushing = false;
      return BigInt(connection.outgoing.room);
    }

    write(contents) {
      const { connection, id } = this.socket;
      if (connection.get(shared.STATE) === State.failed) throw this.socket.failure();
      if (contents.length > connection.outgoing.room) throw new Error('more was written than check-write allowed');
      connection.outgoing.write(contents);
      if (connection.exchange(shared.IS_TOLD, 1) === 0) port.postMessage({ send: id });
    }

    flush() {
      this.socket.isFlushing = true;
    }

    subscribe() {
      const { socket } = this;
      return pollable(() => {
        const { outgoing } = socket.connection;
        if (socket.connection.get(shared.STATE) === State.failed || socket.isShut) return true;
        return socket.isFlushing ? outgoing.length === 0 : outgoing.room > 0;
      });
    }

    [dispose]() {
      this.socket.release();
    }
  }

  class TcpSocket {
    #handles = 1;

    constructor() {
      this.id = ++ids;
      this.connection = undefined;
      this.isFlushing = false;
      this.isShut = false;
    }

    startConnect(_network, { tag, val: { address, port: number } }) {
      if (this.connection) throw 'invalid-state';
      const host = format({ tag, val: address });
      if (!permissions.mayConnect(host, number)) throw 'access-denied';
      this.connection = new Connection();
      watch.connections.add(this.connection);
      const { memory } = this.connection;
      port.postMessage({ connect: this.id, host, port: number, memory });
    }

    finishConnect() {
      switch (this.connection?.get(shared.STATE)) {
        case undefined:
          throw 'not-in-progress';
        case State.pending:
          throw 'would-block';
        case State.failed:
          throw ERRORS[this.connection.get(shared.ERROR)];
      }
      this.#handles += 2;
      return [new InputStream(this), new OutputStream(this)];
    }

    subscribe() {
      return pollable(() => this.connection?.get(shared.STATE) !== State.pending);
    }

    shutdown(how) {
      if (how !== 'receive') this.isShut = true;
      port.postMessage({ shutdown: this.id, how });
    }

    failure() {
      const code = ERRORS[this.connection.get(shared.ERROR)];
      return { tag: 'last-operation-failed', val: new IoError(code) };
    }

    /// One of the socket and its streams is dropped: with the last, the connection ends.
    release() {
      this.#handles -= 1;
      if (this.#handles > 0 || !this.connection) return;
      watch.connections.delete(this.connection);
      port.postMessage({ close: this.id });
    }

    [dispose]() {
      this.release();
    }
  }

  class ResolveAddressStream {
    #lookUp;
    #name;
    #left;

    constructor(name, lookUp) {
      this.#name = name;
      this.#lookUp = lookUp;
    }

    resolveNextAddress() {
      if (this.#lookUp.state === State.pending) throw 'would-block';
      if (this.#lookUp.state === State.failed) throw this.#lookUp.error;
      if (!this.#left) {
        const addresses = this.#lookUp.addresses.map(parse).filter((address) => address !== undefined);
        permissions.found(this.#name, addresses);
        this.#left = addresses.map(toWasi);
      }
      return this.#left.shift();
    }

    subscribe() {
      return pollable(() => this.#lookUp.state !== State.pending);
    }
  }

  return {
    'wasi:clocks/monotonic-clock': {
      now,
      subscribeInstant: (at) => pollable(() => now() >= at, at),
    },
    'wasi:clocks/wall-clock': {
      now() {
        const ms = Date.now();
        return { seconds: BigInt(Math.floor(ms / 1000)), nanoseconds: (ms % 1000) * 1e6 };
      },
    },
    'wasi:io/error': { Error: IoError },
    'wasi:io/poll': { Pollable, poll },
    'wasi:io/streams': { InputStream, OutputStream },
    'wasi:random/random': {
      getRandomU64: () => globalThis.crypto.getRandomValues(new BigUint64Array(1))[0],
    },
    'wasi:sockets/instance-network': { instanceNetwork: () => new Network() },
    'wasi:sockets/ip-name-lookup': {
      ResolveAddressStream,
      resolveAddresses(_network, name) {
        if (!permissions.mayLookUp(name)) throw 'access-denied';
        const lookUp = new LookUp();
        port.postMessage({ lookUp: name, memory: lookUp.memory });
        return new ResolveAddressStream(name, lookUp);
      },
    },
    'wasi:sockets/network': { Network },
    'wasi:sockets/tcp': { TcpSocket },
    'wasi:sockets/tcp-create-socket': { createTcpSocket: () => new TcpSocket() },
  };
}
