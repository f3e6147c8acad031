// The memory that a thread with a client and the thread with its sockets share: a bell for each client, and two rings
// of bytes for each connection. A thread that waits for memory needs no event loop, so a blocking call can wait.

/// Words of the bell of a client.
export const RUNG = 0;
/// 1: the client's thread is in its event loop, and is told of the next ring by a message.
export const WANTS_MESSAGE = 1;

/// Words of a connection.
export const STATE = 0;
export const ERROR = 1;
export const RECEIVED_AT = 2;
export const TAKEN_AT = 3;
/// What ends the bytes that come: one of the values of `End`.
export const END = 4;
/// 1: no more is read from the socket until there is room.
export const IS_PAUSED = 5;
export const WRITTEN_AT = 6;
export const SENT_AT = 7;
/// 1: the thread with the sockets has been told that there is something to send.
export const IS_TOLD = 8;
const WORDS = 16;

export const State = { pending: 0, done: 1, failed: 2 };
export const End = { open: 0, closed: 1, failed: 2 };

/// The error codes of wasi:sockets that are used, by the number that stands for them in shared memory.
export const ERRORS = [
  'unknown',
  'access-denied',
  'timeout',
  'remote-unreachable',
  'connection-refused',
  'connection-reset',
  'connection-aborted',
  'name-unresolvable',
  'temporary-resolver-failure',
  'new-socket-limit',
];

const CAPACITY = 256 * 1024;

export const newBell = () => new SharedArrayBuffer(8);

/// Tells a client that something has changed.
export function ring(bell) {
  Atomics.add(bell.words, RUNG, 1);
  Atomics.notify(bell.words, RUNG);
  if (Atomics.exchange(bell.words, WANTS_MESSAGE, 0) === 1) bell.port.postMessage('rung');
}

/// Bytes that one thread puts in and another takes out. The positions only grow, modulo 2^32.
class Ring {
  constructor(words, bytes, put, taken) {
    Object.assign(this, { words, bytes, put, taken });
  }

  get length() {
    return (Atomics.load(this.words, this.put) - Atomics.load(this.words, this.taken)) >>> 0;
  }

  get room() {
    return CAPACITY - this.length;
  }

  /// Puts in as many of these bytes as there is room for; returns how many.
  write(bytes) {
    const length = Math.min(bytes.length, this.room);
    const at = Atomics.load(this.words, this.put);
    const start = at & (CAPACITY - 1);
    const first = Math.min(length, CAPACITY - start);
    this.bytes.set(bytes.subarray(0, first), start);
    this.bytes.set(bytes.subarray(first, length), 0);
    Atomics.store(this.words, this.put, (at + length) | 0);
    return length;
  }

  /// Takes out at most so many bytes, as a copy that is not shared.
  read(most) {
    const length = Math.min(most, this.length);
    const at = Atomics.load(this.words, this.taken);
    const start = at & (CAPACITY - 1);
    const first = Math.min(length, CAPACITY - start);
    const bytes = new Uint8Array(length);
    bytes.set(this.bytes.subarray(start, start + first));
    bytes.set(this.bytes.subarray(0, length - first), first);
    Atomics.store(this.words, this.taken, (at + length) | 0);
    return bytes;
  }
}

/// What both threads know of a connection.
export class Connection {
  constructor(memory = new SharedArrayBuffer(WORDS * 4 + 2 * CAPACITY)) {
    this.memory = memory;
    this.words = new Int32Array(memory, 0, WORDS);
    const incoming = new Uint8Array(memory, WORDS * 4, CAPACITY);
    const outgoing = new Uint8Array(memory, WORDS * 4 + CAPACITY, CAPACITY);
    this.incoming = new Ring(this.words, incoming, RECEIVED_AT, TAKEN_AT);
    this.outgoing = new Ring(this.words, outgoing, WRITTEN_AT, SENT_AT);
  }

  get(word) {
    return Atomics.load(this.words, word);
  }

  set(word, value) {
    Atomics.store(this.words, word, value);
  }

  /// Sets a word, and returns what it was.
  exchange(word, value) {
    return Atomics.exchange(this.words, word, value);
  }

  fail(code) {
    this.set(ERROR, Math.max(0, ERRORS.indexOf(code)));
    this.set(STATE, State.failed);
  }
}

/// The addresses of a name, as text.
export class LookUp {
  constructor(memory = new SharedArrayBuffer(12 + 8192)) {
    this.memory = memory;
    this.words = new Int32Array(memory, 0, 3);
    this.bytes = new Uint8Array(memory, 12);
  }

  get state() {
    return Atomics.load(this.words, STATE);
  }

  get error() {
    return ERRORS[Atomics.load(this.words, ERROR)];
  }

  get addresses() {
    const text = new TextDecoder().decode(this.bytes.slice(0, this.words[2]));
    return text.split(' ').filter((address) => address !== '');
  }

  /// Keeps as many as there is room for, which are more than a hundred.
  finish(addresses) {
    let text = new TextEncoder().encode(addresses.slice(0, 128).join(' '));
    this.bytes.set(text);
    this.words[2] = text.length;
    Atomics.store(this.words, STATE, State.done);
  }

  fail(code) {
    Atomics.store(this.words, ERROR, Math.max(0, ERRORS.indexOf(code)));
    Atomics.store(this.words, STATE, State.failed);
  }
}
