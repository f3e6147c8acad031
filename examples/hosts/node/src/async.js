// The face that does not block: promises, and `for await`. The client itself is in a thread of its own.

import { MqttError } from './error.js';
import { Message } from './message.js';

/// Calls that are made in the thread as they are.
const CALLS = [
  'publish',
  'publishMessage',
  'subscribe',
  'subscribeWith',
  'unsubscribe',
  'unsubscribeWith',
  'enqueue',
  'flush',
  'reply',
  'failRequest',
  'releaseRequest',
  'info',
  'isConnected',
  'inFlight',
  'messagesInFlight',
  'giveUpMessage',
  'lastFailure',
  'stats',
  'snapshot',
  'update',
  'reconnect',
  'nextStep',
  'answerChallenge',
  'authenticateAgain',
  'topicMatches',
];

export class Client {
  #thread;
  #pending = new Map();
  #ids = 0;
  #ended;

  /// `start` begins the thread, and returns it with `postMessage`, `terminate` and `keepAlive(boolean)`.
  static async open(start) {
    const client = new Client();
    const { promise, ...settle } = withResolvers();
    client.#pending.set(0, settle);
    client.#thread = start({
      message: (answer) => client.#settle(answer),
      ended: (error) => client.#end(error),
    });
    try {
      await promise;
    } catch (error) {
      client.#end(error);
      throw error;
    }
    return client;
  }

  static {
    for (const name of CALLS) {
      Client.prototype[name] = function (...args) {
        return this.#call(name, args);
      };
    }
  }

  /// Calls the client in its thread.
  #call(method, args, signal) {
    if (this.#ended) return Promise.reject(this.#ended);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { promise, ...settle } = withResolvers();
    this.#ids += 1;
    const id = this.#ids;
    if (signal) {
      const cancel = () => this.#thread?.postMessage({ cancel: id });
      signal.addEventListener('abort', cancel, { once: true });
      settle.signal = signal;
      settle.forget = () => signal.removeEventListener('abort', cancel);
    }
    // First: it fails for values that cannot be sent, such as functions.
    try {
      this.#thread.postMessage({ id, method, args });
    } catch (error) {
      settle.forget?.();
      return Promise.reject(error);
    }
    this.#pending.set(id, settle);
    if (this.#pending.size === 1) this.#thread.keepAlive(true);
    return promise;
  }

  #settle({ id, value, described, failure, error, isAborted }) {
    const settle = this.#pending.get(id);
    if (!settle) return;
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#thread?.keepAlive(false);
    settle.forget?.();
    if (failure) settle.reject(new MqttError(failure));
    else if (error) settle.reject(Object.assign(new Error(error.message), error));
    else if (isAborted) settle.reject(settle.signal.reason);
    else settle.resolve(described ? new MqttError(described) : value);
  }

  /// No call is answered any more.
  #end(error) {
    this.#ended ??= error;
    for (const { reject, forget } of this.#pending.values()) {
      forget?.();
      reject(this.#ended);
    }
    this.#pending.clear();
    this.#thread?.terminate();
    this.#thread = undefined;
  }

  async publishBatch(messages) {
    const results = await Promise.allSettled(
      messages.map(({ topic, payload, ...options }) => this.publish(topic, payload, options)),
    );
    return results.map(({ value, reason }) => reason ?? value);
  }

  async receive(timeoutMs, { signal } = {}) {
    return message(await this.#call('receive', [timeoutMs], signal));
  }

  async receiveBatch(maxMessages, timeoutMs, { signal } = {}) {
    return (await this.#call('receiveBatch', [maxMessages, timeoutMs], signal)).map(message);
  }

  async *messages({ atOnce = 1, signal } = {}) {
    for (;;) {
      const batch = await this.#untilClosed(this.receiveBatch(atOnce, undefined, { signal }));
      if (!batch) return;
      yield* batch;
    }
  }

  async acknowledge({ delivery }) {
    return delivery !== undefined && this.#call('acknowledge', [delivery]);
  }

  async request(topic, payload, { signal, ...options } = {}) {
    return message(await this.#call('request', [topic, payload, options], signal));
  }

  async nextRequest(timeoutMs, { signal } = {}) {
    const request = await this.#call('nextRequest', [timeoutMs], signal);
    return request && { ...request, message: message(request.message) };
  }

  async *requests({ signal } = {}) {
    for (;;) {
      const request = await this.#untilClosed(this.nextRequest(undefined, { signal }));
      if (!request) return;
      yield request;
    }
  }

  nextEvent(timeoutMs, { signal } = {}) {
    return this.#call('nextEvent', [timeoutMs], signal);
  }

  async *events({ signal } = {}) {
    for (;;) {
      const event = await this.#untilClosed(this.nextEvent(undefined, { signal }));
      if (!event) return;
      yield event;
    }
  }

  /// The end of the client by its own user is no error for those who listen.
  async #untilClosed(promise) {
    try {
      return await promise;
    } catch (error) {
      if (this.isClosed) return undefined;
      throw error;
    }
  }

  async disconnect(options = {}) {
    if (this.isClosed) return;
    this.isClosed = true;
    try {
      await this.#call('disconnect', [options]);
    } finally {
      this.#end(overByUser());
    }
  }

  /// Cuts the connection: the broker publishes the Will Message.
  async close() {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.#call('close', []).catch(() => {});
    this.#end(overByUser());
  }

  async [Symbol.asyncDispose ?? Symbol.for('asyncDispose')]() {
    await this.disconnect();
  }
}

const message = (plain) => plain && new Message(plain);

const overByUser = () =>
  new MqttError({
    kind: 'connection-over',
    name: 'not-connected',
    message: 'the client was disconnected: connect again',
  });

function withResolvers() {
  let resolve, reject;
  const promise = new Promise((...functions) => ([resolve, reject] = functions));
  return { promise, resolve, reject };
}
