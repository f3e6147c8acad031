// Messages, as JavaScript has them and as the component has them.

import { wrongCall } from './error.js';

const QOS = ['at-most-once', 'at-least-once', 'exactly-once'];
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/// A received message.
export class Message {
  constructor(plain) {
    Object.assign(this, plain);
  }

  /// The payload as text.
  get text() {
    return typeof this.payload === 'string' ? this.payload : decoder.decode(this.payload);
  }

  /// The payload as bytes.
  get bytes() {
    return typeof this.payload === 'string' ? encoder.encode(this.payload) : this.payload;
  }

  /// The payload, parsed as JSON.
  json() {
    return JSON.parse(this.text);
  }
}

export function qosToWit(qos = 0) {
  const name = QOS[qos];
  if (name === undefined) throw wrongCall(`the QoS ${shown(qos)} does not exist: use 0, 1 or 2`);
  return name;
}

export const qosFromWit = (name) => QOS.indexOf(name);

export function payloadToWit(payload = '') {
  if (typeof payload === 'string') return { tag: 'text', val: payload };
  return { tag: 'bytes', val: toBytes(payload, 'a payload') };
}

/// Text or any kind of buffer as bytes.
export function toBytes(value, what) {
  if (typeof value === 'string') return encoder.encode(value);
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return new Uint8Array(value).slice();
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  throw wrongCall(`${what} is text or bytes, and not ${shown(value)}: use JSON.stringify or String for other values`);
}

/// User Properties are an object, or a list of pairs where names repeat.
export function pairs(properties = []) {
  const list = Array.isArray(properties) ? properties : Object.entries(properties);
  return list.map(([name, value]) => [String(name), String(value)]);
}

/// How each property is named here and there; what it is there.
const PROPERTIES = {
  messageExpiryIntervalSeconds: ['message-expiry-interval-seconds', (value) => value],
  contentType: ['content-type', String],
  responseTopic: ['response-topic', String],
  correlationData: ['correlation-data', (value) => toBytes(value, 'correlationData')],
  topicAlias: ['topic-alias', (value) => value],
};
const NAMES = Object.fromEntries(Object.entries(PROPERTIES).map(([here, [there]]) => [there, here]));

const OTHERS = ['topic', 'payload', 'qos', 'retain', 'userProperties', 'delayIntervalSeconds', 'timeoutMs', 'signal'];

/// The properties among these options; an option that does not exist is an error.
export function propertiesToWit(options) {
  const properties = [];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const known = PROPERTIES[name];
    if (known) properties.push({ tag: known[0], val: known[1](value) });
    else if (!OTHERS.includes(name)) throw unknownOption(name, [...Object.keys(PROPERTIES), ...OTHERS]);
  }
  for (const pair of pairs(options.userProperties)) properties.push({ tag: 'user-property', val: pair });
  return properties;
}

export function publicationToWit(topic, payload, options = {}) {
  return {
    topic: String(topic),
    payload: payloadToWit(payload),
    qos: qosToWit(options.qos),
    retain: Boolean(options.retain),
    properties: propertiesToWit(options),
  };
}

/// A message of the component as an object without methods, which can be sent to another thread.
export function messageFromWit({ topic, payload, qos, retain, duplicate, delivery, ...rest }) {
  const message = { topic, payload: payload.val, qos: QOS.indexOf(qos), retain, duplicate };
  if (delivery !== undefined) message.delivery = delivery;
  if (rest.subscriptionIdentifiers) message.subscriptionIdentifiers = [...rest.subscriptionIdentifiers];
  message.userProperties = [];
  for (const { tag, val } of rest.properties ?? []) {
    if (tag === 'user-property') message.userProperties.push(val);
    else message[NAMES[tag]] = val;
  }
  return message;
}

export function unknownOption(name, known) {
  return wrongCall(`there is no option ${JSON.stringify(name)}: choose from ${known.join(', ')}`);
}

/// A value in an error text. Not what is in it, which may be secret.
export const shown = (value) => (typeof value === 'number' ? String(value) : value === null ? 'null' : typeof value);
