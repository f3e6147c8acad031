// The client of the face that does not block, in its own thread: it takes calls one after the other, and sleeps in its
// event loop when there is nothing to do. A call that waits for something does not hold up the others.

import { BlockingClient, REQUEST_TIMEOUT, instance, timeout } from './blocking.js';
import { MqttError } from './error.js';
import * as shared from './shared.js';

/// Calls that wait for something to come: how to look for it without waiting, and for how long to look.
const WAITING = {
  receive: ([ms]) => ({ look: (client) => client.receive(0), ms }),
  receiveBatch: ([most, ms]) => ({ look: (client) => nonEmpty(client.receiveBatch(most, 0)), ms, otherwise: [] }),
  nextRequest: ([ms]) => ({ look: (client) => client.nextRequest(0), ms }),
  nextEvent: ([ms]) => ({ look: (client) => client.nextEvent(0), ms }),
  waitForReply: ([id, ms]) => ({ look: (client) => client.waitForReply(id, 0), ms, isPatient: true }),
  request([topic, payload, { timeoutMs = REQUEST_TIMEOUT, ...options } = {}], client) {
    const id = client.startRequest({ topic, payload, ...options }, timeoutMs);
    // The component ends it in time.
    return { look: () => client.waitForReply(id, 0), isPatient: true, stop: () => client.cancelRequest(id) };
  },
};

const nonEmpty = (list) => (list.length > 0 ? list : undefined);

/// Connects, and takes calls from `port` from then on. `soon` runs a function after the messages that wait.
export function run({ instantiate, init, port, soon }) {
  const { url, options, how, modules, link } = init;
  const component = { instantiate, coreModule: (path) => modules[path] };
  let client, made;
  try {
    made = instance(component, link, url, options);
    client = new BlockingClient(made, url, options, how);
  } catch (error) {
    port.postMessage({ id: 0, ...failed(error) });
    return;
  }
  const turns = new Turns(client, port, new Int32Array(link.bell), made.watch, soon);
  port.onmessage = ({ data }) => turns.add(data);
  // The thread with the sockets has something.
  link.port.onmessage = () => turns.schedule();
  port.postMessage({ id: 0, value: undefined });
  turns.schedule();
}

class Turns {
  #client;
  #port;
  #bell;
  #watch;
  #soon;
  #calls = [];
  #waiters = [];
  #isScheduled = false;
  #isOver = false;
  #timer;

  constructor(client, port, bell, watch, soon) {
    this.#client = client;
    this.#port = port;
    this.#bell = bell;
    this.#watch = watch;
    this.#soon = soon;
  }

  add(call) {
    this.#calls.push(call);
    this.schedule();
  }

  schedule() {
    if (this.#isScheduled || this.#isOver) return;
    this.#isScheduled = true;
    this.#soon(() => {
      this.#isScheduled = false;
      this.#turn();
    });
  }

  #turn() {
    clearTimeout(this.#timer);
    const rung = Atomics.load(this.#bell, shared.RUNG);
    const { reads } = this.#watch;
    const calls = this.#calls;
    this.#calls = [];
    for (let at = 0; at < calls.length; ) at += this.#take(calls, at);
    if (this.#isOver) return;
    this.#look();
    // As long as it goes on reading, there may be more to find.
    if (this.#watch.reads !== reads && this.#watch.hasUnread) this.schedule();
    this.#sleep(rung);
  }

  /// Does the call at this place, and perhaps some after it; returns how many.
  #take(calls, at) {
    const call = calls[at];
    if (call.cancel !== undefined) {
      this.#cancel(call.cancel);
      return 1;
    }
    this.#isOver ||= call.method === 'close';
    if (call.method === 'publish') {
      let end = at + 1;
      while (end < calls.length && calls[end].method === 'publish') end += 1;
      this.#publish(calls.slice(at, end));
      return end - at;
    }
    this.#answer(call.id, () => {
      const waiting = WAITING[call.method];
      if (!waiting) return { value: this.#client[call.method](...call.args) };
      const { ms, ...waiter } = waiting(call.args, this.#client);
      const until = ms === undefined || ms === Infinity ? Infinity : performance.now() + timeout(ms);
      this.#waiters.push({ id: call.id, method: call.method, until, ...waiter });
      return undefined;
    });
    return 1;
  }

  /// Publishes together what was published before any was answered.
  #publish(calls) {
    if (calls.length === 1) {
      const [{ id, args }] = calls;
      return this.#answer(id, () => ({ value: this.#client.publish(...args) }));
    }
    const messages = calls.map(({ args: [topic, payload, options] }) => ({ topic, payload, ...options }));
    let results;
    try {
      results = this.#client.publishBatch(messages);
    } catch {
      // One of them cannot be a message. Each for itself then, since nothing was sent.
      for (const { id, args } of calls) this.#answer(id, () => ({ value: this.#client.publish(...args) }));
      return;
    }
    results.forEach((result, index) => {
      const answer = result instanceof MqttError ? failed(result) : { value: result };
      this.#port.postMessage({ id: calls[index].id, ...answer });
    });
  }

  #answer(id, call) {
    let answer;
    try {
      answer = call();
    } catch (error) {
      answer = failed(error);
    }
    // The class of an error does not get through.
    if (answer?.value instanceof MqttError) answer = { described: answer.value.toFailure() };
    if (answer) this.#port.postMessage({ id, ...answer });
  }

  #cancel(id) {
    const waiter = this.#waiters.find((each) => each.id === id);
    if (!waiter) return;
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
    waiter.stop?.();
    this.#port.postMessage({ id, isAborted: true });
  }

  /// Looks for what the waiting calls wait for, the oldest first.
  #look() {
    const now = performance.now();
    const inVain = new Set();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      // What the one before did not find, this one does not find either.
      const isIn = inVain.has(waiter.method) && !waiter.isPatient;
      this.#answer(waiter.id, () => {
        const value = isIn ? undefined : this.#lookFor(waiter);
        if (value !== undefined) return { value };
        if (waiter.until <= now) return { value: waiter.otherwise };
        inVain.add(waiter.method);
        this.#waiters.push(waiter);
        return undefined;
      });
    }
    // Whatever waits, the connection is kept, and what comes is read.
    if (inVain.size === 0) this.#answer(undefined, () => void this.#client.advance());
  }

  #lookFor(waiter) {
    try {
      return waiter.look(this.#client);
    } catch (error) {
      const canWait = waiter.isPatient && error.code === 'answer-behind-messages';
      // As long as somebody takes the messages, the reply comes.
      const isReceiving = this.#waiters.some(({ method }) => method.startsWith('receive'));
      if (canWait && isReceiving) return undefined;
      throw error;
    }
  }

  #sleep(rung) {
    Atomics.store(this.#bell, shared.WANTS_MESSAGE, 1);
    if (this.#isScheduled || Atomics.load(this.#bell, shared.RUNG) !== rung) return this.schedule();
    const deadline = this.#client.deadlineMs() ?? Infinity;
    const until = Math.min(...this.#waiters.map((waiter) => waiter.until));
    const rest = Math.min(deadline, until - performance.now(), 2 ** 31 - 1);
    if (rest <= 0) return this.schedule();
    this.#timer = setTimeout(() => this.schedule(), Math.ceil(rest));
  }
}

/// What is told of an exception: errors keep neither their class nor their fields on the way.
function failed(error) {
  return error instanceof MqttError
    ? { failure: error.toFailure() }
    : { error: { name: error.name, message: error.message, stack: error.stack } };
}
