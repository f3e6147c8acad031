// The client whose calls block, over the component's. Both faces are made of it: one as it is, the other in a thread.

import { MqttError, guarded, wrongCall } from './error.js';
import {
  Message,
  messageFromWit,
  pairs,
  payloadToWit,
  propertiesToWit,
  publicationToWit,
  qosFromWit,
  qosToWit,
  shown,
  toBytes,
} from './message.js';
import { allowedBy, applyOptions } from './options.js';
import { Permissions } from './permissions.js';
import { Watch, imports } from './wasi.js';

/// The longest timeout that the component takes.
const FOR_EVER = 0xffffffff;

/// How long a request waits for its reply unless told otherwise, in milliseconds.
export const REQUEST_TIMEOUT = 30_000;

const FLAGS = { 1: 'retainedIfNew', 2: 'noRetained' };

export const timeout = (ms) => {
  if (ms === undefined || ms === Infinity) return FOR_EVER;
  if (typeof ms !== 'number' || !(ms >= 0)) throw wrongCall(`a timeout is a number of milliseconds, not ${shown(ms)}`);
  return Math.min(Math.ceil(ms), FOR_EVER);
};

/// Makes an instance of the component, which is connected to nothing yet. `link` has the port and the bell.
export function instance({ instantiate, coreModule }, link, url, options) {
  const watch = new Watch();
  const permissions = new Permissions(allowedBy(url, options));
  const root = instantiate(coreModule, imports({ ...link, permissions, watch }));
  return { mqtt: root['mqtt-wasi:client/mqtt@0.1.0'], watch };
}

export class BlockingClient {
  #mqtt;
  #client;

  constructor({ mqtt }, url, options = {}, open = 'connect') {
    this.#mqtt = mqtt;
    this.#client = guarded(() => mqtt[open](String(url), applyOptions(mqtt.ConnectOptions, options)));
  }

  #call(name, ...args) {
    return guarded(() => this.#client[name](...args));
  }

  publish(topic, payload, options = {}) {
    const { qos, retain, ...properties } = options;
    const list = propertiesToWit(properties);
    if (list.length === 0) {
      return this.#call('publish', String(topic), payloadToWit(payload), qosToWit(qos), Boolean(retain));
    }
    return this.publishMessage({ topic, payload, ...options }).code;
  }

  publishMessage({ topic, payload, ...options }) {
    return this.#call('publishMessage', publicationToWit(topic, payload, options));
  }

  publishBatch(messages) {
    const list = messages.map(({ topic, payload, ...options }) => publicationToWit(topic, payload, options));
    return this.#call('publishBatch', list).map(({ tag, val }) => (tag === 'ok' ? val : new MqttError(val)));
  }

  enqueue(topic, payload, { qos, retain } = {}) {
    this.#call('enqueue', String(topic), payloadToWit(payload), qosToWit(qos), Boolean(retain));
  }

  flush() {
    this.#call('flush');
  }

  subscribe(filter, options = {}) {
    const { qos, ...more } = options;
    if (Object.keys(more).length === 0) return qosFromWit(this.#call('subscribe', String(filter), qosToWit(qos)));
    const { identifier, userProperties, ...rest } = options;
    const { codes, reasonString } = this.subscribeWith([{ filter, ...rest }], { identifier, userProperties });
    if (codes[0] < 0x80) return codes[0];
    const message = `the broker refused to subscribe to ${filter}: ${this.#mqtt.reasonName(codes[0]) ?? codes[0]}`;
    throw new MqttError({
      kind: 'refused',
      name: 'subscribe-refused',
      message: reasonString === undefined ? message : `${message}, "${reasonString}"`,
      code: codes[0],
    });
  }

  subscribeWith(subscriptions, { identifier, userProperties } = {}) {
    const list = subscriptions.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
      filter: String(filter),
      maximumQos: qosToWit(qos),
      options: { noLocal, retainAsPublished, ...(FLAGS[retainHandling] && { [FLAGS[retainHandling]]: true }) },
    }));
    const answer = this.#call('subscribeWith', list, identifier, pairs(userProperties));
    return { ...answer, codes: [...answer.codes] };
  }

  unsubscribe(filter) {
    this.#call('unsubscribe', String(filter));
  }

  unsubscribeWith(filters, { userProperties } = {}) {
    const answer = this.#call('unsubscribeWith', filters.map(String), pairs(userProperties));
    return { ...answer, codes: [...answer.codes] };
  }

  receive(timeoutMs) {
    const message = this.#call('receive', timeout(timeoutMs));
    return message && new Message(messageFromWit(message));
  }

  receiveBatch(maxMessages, timeoutMs) {
    const list = this.#call('receiveBatch', maxMessages, timeout(timeoutMs));
    return list.map((message) => new Message(messageFromWit(message)));
  }

  acknowledge(message) {
    const delivery = typeof message === 'bigint' ? message : message.delivery;
    return delivery !== undefined && this.#call('acknowledge', delivery);
  }

  request(topic, payload, options = {}) {
    const { timeoutMs = REQUEST_TIMEOUT, ...message } = options;
    const id = this.startRequest({ topic, payload, ...message }, timeoutMs);
    const reply = this.waitForReply(id, timeoutMs + 1000);
    if (reply) return reply;
    this.cancelRequest(id);
    throw new MqttError({ kind: 'timed-out', name: 'timeout', message: `no reply came within ${timeoutMs} ms` });
  }

  startRequest({ topic, payload, ...options }, timeoutMs = REQUEST_TIMEOUT) {
    return this.#call('startRequest', publicationToWit(topic, payload, options), timeout(timeoutMs));
  }

  waitForReply(id, timeoutMs) {
    const message = this.#call('waitForReply', id, timeout(timeoutMs));
    return message && new Message(messageFromWit(message));
  }

  cancelRequest(id) {
    this.#call('cancelRequest', id);
  }

  nextRequest(timeoutMs) {
    const request = this.#call('nextRequest', timeout(timeoutMs));
    return request && { ...request, message: new Message(messageFromWit(request.message)) };
  }

  reply(request, payload, options = {}) {
    this.#call('replyWith', idOf(request), payloadToWit(payload), propertiesToWit(options));
  }

  failRequest(request, why) {
    this.#call('failRequest', idOf(request), String(why));
  }

  releaseRequest(request) {
    this.#call('releaseRequest', idOf(request));
  }

  deadlineMs() {
    return this.#call('deadlineMs');
  }

  info() {
    const info = this.#call('info');
    return { ...info, maximumQos: qosFromWit(info.maximumQos) };
  }

  isConnected() {
    return this.#call('isConnected');
  }

  inFlight() {
    return this.#call('inFlight');
  }

  messagesInFlight() {
    return this.#call('messagesInFlight');
  }

  giveUpMessage(id) {
    return this.#call('giveUpMessage', id);
  }

  lastFailure() {
    const failure = this.#call('lastFailure');
    return failure && new MqttError(failure);
  }

  nextEvent(timeoutMs) {
    return this.#call('nextEvent', timeout(timeoutMs));
  }

  stats() {
    return Object.fromEntries(this.#call('stats').map(([name, count]) => [name, Number(count)]));
  }

  snapshot() {
    return this.#call('snapshot');
  }

  update(options) {
    guarded(() => this.#client.update(applyOptions(this.#mqtt.ConnectOptions, options)));
  }

  reconnect() {
    return this.#call('reconnect');
  }

  nextStep() {
    return this.#call('nextStep');
  }

  answerChallenge(data) {
    this.#call('answerChallenge', toBytes(data, 'Authentication Data'));
  }

  authenticateAgain(data) {
    this.#call('authenticateAgain', toBytes(data, 'Authentication Data'));
  }

  disconnect({ reasonCode, sessionExpiryIntervalSeconds, reasonString, userProperties } = {}) {
    const isPlain = [reasonCode, sessionExpiryIntervalSeconds, reasonString, userProperties].every(
      (each) => each === undefined,
    );
    const disconnection = {
      code: reasonCode,
      sessionExpiryIntervalSeconds,
      reasonString,
      userProperties: pairs(userProperties),
    };
    this.#call('disconnect', isPlain ? undefined : disconnection);
  }

  /// Does what is due, and takes nothing: keeps the connection.
  advance() {
    this.#mqtt.wait([this.#client], 0);
  }

  /// Cuts the connection: the broker publishes the Will Message.
  close() {
    this.#client[Symbol.dispose ?? Symbol.for('dispose')]();
  }

  topicMatches(filter, topic) {
    return this.#mqtt.topicMatches(filter, topic);
  }
}

const idOf = (request) => (typeof request === 'bigint' ? request : request.id);
