// The interface mqtt-wasi:client/mqtt, as JavaScript has things: errors with words, defaults, numbers for QoS, text and
// bytes as payloads, iteration. Copy this file into your program; in JavaScript, mqtt.js and mqtt.d.ts, which are made
// from mqtt.ts by `npm run layer`.
//
//   using client = connect("mqtt://localhost", { clientId: "thermometer-7" });
//   client.subscribe("sensors/#", { qos: 1 });
//   client.publish("sensors/kitchen", "21.5", { qos: 1, userProperties: { unit: "C" } });
//   for (const message of client.messages({ timeoutMs: 5_000 })) console.log(message.topic, message.text);
//
// What has no method here is in `client.raw`, which is the client of the interface: see wit/mqtt.wit. Let `attempt` call
// it, so that its failures are MqttErrors too.

import * as mqtt from "mqtt-wasi:client/mqtt@0.1.0";

/** How often a message is delivered: at most once, at least once, exactly once. */
export type QoS = 0 | 1 | 2;

/** Text has the Payload Format Indicator 1, and bytes have none. */
export type Payload = string | Uint8Array;

/** Names and values. A name may repeat, except in an object. */
export type UserProperties = Record<string, string> | Iterable<readonly [string, string]>;

/** What an error means for the program. This list is complete. */
export type FailureKind =
  | "wrong-call" | "try-later" | "timed-out" | "refused" | "connection-over" | "not-trusted" | "protocol-broken";

/** The properties of a message, all of which may be left out. */
export interface Properties {
  messageExpiryIntervalSeconds?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: string | Uint8Array;
  topicAlias?: number;
  userProperties?: UserProperties;
}

export interface MessageOptions extends Properties {
  /** Default: 0. */
  qos?: QoS;
  /** Whether the broker keeps the message for later subscribers. Default: false. */
  retain?: boolean;
}

/** A message to publish. */
export interface Publication extends MessageOptions {
  topic: string;
  payload: Payload;
}

export interface SubscribeOptions {
  /** The highest QoS that messages are delivered with. Default: 0. */
  qos?: QoS;
  noLocal?: boolean;
  retainAsPublished?: boolean;
  /** 1: retained messages only if the subscription is new. 2: none. Default: 0, all. */
  retainHandling?: 0 | 1 | 2;
  /** Comes with each message of this subscription: 1 to 268,435,455. */
  identifier?: number;
  userProperties?: UserProperties;
}

/** Those of a request also have how long the requester waits. Default: 30,000. */
export type RequestMessageOptions = MessageOptions & { timeoutMs?: number };

export type ReplyProperties = Pick<Properties, "contentType" | "userProperties">;

/** Ends an iteration when nothing came for so long. Default: never. */
export interface IterationOptions {
  timeoutMs?: number;
}

/** A request to answer. It should end with one of `reply`, `failRequest` and `releaseRequest`. */
export interface IncomingRequest {
  readonly id: bigint;
  readonly message: Message;
  readonly wantsReply: boolean;
  /** How many milliseconds the requester still waits, if that is known. */
  readonly remainingMs: number | undefined;
}

/** The options of a connection: those of `connect-options` in wit/mqtt.wit, which has their ranges and defaults. */
export interface Options {
  clientId?: string;
  cleanStart?: boolean;
  keepAliveSeconds?: number;
  userName?: string;
  password?: string | Uint8Array;
  will?: Publication & { delayIntervalSeconds?: number };
  sessionExpiryIntervalSeconds?: number;
  receiveMaximum?: number;
  maximumPacketSize?: number;
  topicAliasMaximum?: number;
  outboundTopicAliases?: number;
  ca?: readonly (string | Uint8Array)[];
  fingerprints?: readonly string[];
  onlyOwnCa?: boolean;
  clientCertificate?: { chain: string | Uint8Array; key: string | Uint8Array };
  serverName?: string;
  alpn?: readonly (string | Uint8Array)[];
  websocketHeaders?: Readonly<Record<string, string>>;
  proxy?: string;
  fallbacks?: readonly string[];
  reconnect?: boolean;
  reconnectDelaysMs?: readonly [first: number, longest: number];
  reconnectAttempts?: number;
  reconnectRefusals?: number;
  firstConnectMs?: number;
  redirectLimit?: number;
  restoreSubscriptions?: boolean;
  restoreMessages?: boolean;
  filtersPerSubscribe?: number;
  attemptsPerMessage?: number;
  skipRefusedMessages?: boolean;
  adoptSession?: boolean;
  snapshot?: Uint8Array;
  authenticationMethod?: string;
  authenticationData?: string | Uint8Array;
  requestResponseInformation?: boolean;
  requestProblemInformation?: boolean;
  userProperties?: UserProperties;
  skipUnknownProperties?: boolean;
  acknowledgeByHand?: boolean;
  connectTimeoutMs?: number;
  responseTimeoutMs?: number;
  outboundLimit?: number;
  inFlightLimit?: number;
  backlogLimit?: number;
  responseTopic?: string;
  pendingRequestLimit?: number;
}

/** Why a call failed. Its message is for people: where the broker gave reasons, they are in it. */
export class MqttError extends Error {
  /** What it means for the program. */
  readonly kind: FailureKind;
  /** What it is, exactly, for example `publish-refused`. Later versions may add others: see wit/mqtt.wit. */
  readonly code: string;
  /** The Reason Code that the broker gave, or that it was sent with the DISCONNECT. */
  readonly reasonCode: number | undefined;

  constructor({ kind, name, message, code }: mqtt.Failure) {
    super(message);
    this.name = "MqttError";
    this.kind = kind;
    this.code = name;
    this.reasonCode = code;
  }
}

/** Calls a function that uses the interface, and throws an MqttError where that throws a failure. */
export function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw asError(error);
  }
}

/** Connects to a broker. */
export function connect(url: string, options: Options = {}): Client {
  return new Client(attempt(() => mqtt.connect(url, connectOptions(options))));
}

/** A received message. */
export class Message {
  readonly topic: string;
  /** Text if the sender said that it is, otherwise bytes. */
  readonly payload: Payload;
  readonly qos: QoS;
  readonly retain: boolean;
  /** Whether the broker sent it again, so it may have been received before. */
  readonly duplicate: boolean;
  /** For `acknowledge`, with `acknowledgeByHand`. */
  readonly delivery: bigint | undefined;
  readonly subscriptionIdentifiers: readonly number[];
  readonly messageExpiryIntervalSeconds?: number;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Uint8Array;
  readonly userProperties: [string, string][] = [];

  constructor(message: mqtt.Message) {
    this.topic = message.topic;
    this.payload = message.payload.val;
    this.qos = QOS.indexOf(message.qos) as QoS;
    this.retain = message.retain;
    this.duplicate = message.duplicate;
    this.delivery = message.delivery;
    this.subscriptionIdentifiers = [...(message.subscriptionIdentifiers ?? [])];
    for (const property of message.properties ?? []) {
      if (property.tag === "user-property") this.userProperties.push(property.val);
      else Object.assign(this, { [NAMES[property.tag]!]: property.val });
    }
  }

  /** The payload as text. Throws if it is not UTF-8. */
  get text(): string {
    return typeof this.payload === "string" ? this.payload : fromUtf8(this.payload);
  }

  /** The payload as bytes. */
  get bytes(): Uint8Array {
    return toBytes(this.payload);
  }

  /** The payload, parsed as JSON. Throws if it is none. */
  json(): unknown {
    return JSON.parse(this.text);
  }

  /** The value of the first User Property with this name. */
  userProperty(name: string): string | undefined {
    return this.userProperties.find((property) => property[0] === name)?.[1];
  }
}

/** A client with one session, and at most one connection at a time. All calls block, for a bounded time. */
export class Client {
  /** The client of the interface. */
  readonly raw: mqtt.Client;

  constructor(raw: mqtt.Client) {
    this.raw = raw;
  }

  /** Publishes a message. Returns the Reason Code: 0x10 if the broker knows of no subscriber, otherwise 0. */
  publish(topic: string, payload: Payload, options: MessageOptions = {}): number {
    const message = toPublication({ ...options, topic, payload });
    if (message.properties.length > 0) return attempt(() => this.raw.publishMessage(message).code);
    return attempt(() => this.raw.publish(topic, message.payload, message.qos, message.retain));
  }

  /** Publishes many messages, much faster than one by one. Returns for each its Reason Code, or why it failed. */
  publishBatch(messages: Iterable<Publication>): (number | MqttError)[] {
    const results = attempt(() => this.raw.publishBatch(Array.from(messages, toPublication)));
    return results.map((result) => (result.tag === "ok" ? result.val : new MqttError(result.val)));
  }

  /** Subscribes to a Topic Filter. Returns the granted QoS. */
  subscribe(filter: string, options: SubscribeOptions = {}): QoS {
    const { qos, identifier, userProperties = [], noLocal, retainAsPublished, retainHandling, ...others } = options;
    for (const name in others) throw wrongCall(`there is no option "${name}" of subscriptions`);
    const maximumQos = toQos(qos);
    if (Object.keys(options).every((name) => name === "qos")) {
      return QOS.indexOf(attempt(() => this.raw.subscribe(filter, maximumQos))) as QoS;
    }
    const flags = { noLocal, retainAsPublished, retainedIfNew: retainHandling === 1, noRetained: retainHandling === 2 };
    const subscriptions = [{ filter, maximumQos, options: flags as mqtt.SubscriptionOptions }];
    const answer = attempt(() => this.raw.subscribeWith(subscriptions, identifier, toPairs(userProperties)));
    return grantedBy(answer, filter);
  }

  /** Unsubscribes from a Topic Filter. That there was no such subscription is no error. */
  unsubscribe(filter: string): void {
    attempt(() => this.raw.unsubscribe(filter));
  }

  /** Waits for the next message, for at most so many milliseconds. Undefined: none came. */
  receive(timeoutMs?: number): Message | undefined {
    const message = attempt(() => this.raw.receive(timeout(timeoutMs)));
    return message && new Message(message);
  }

  /** Waits for a message, and returns it with all that are there, at most so many. */
  receiveBatch(maxMessages: number, timeoutMs?: number): Message[] {
    const messages = attempt(() => this.raw.receiveBatch(maxMessages, timeout(timeoutMs)));
    return messages.map((message) => new Message(message));
  }

  /** The messages as they come, until none comes for so long. */
  *messages({ timeoutMs }: IterationOptions = {}): Generator<Message, void> {
    yield* each((wait) => this.receive(wait), timeoutMs);
  }

  /** Acknowledges a message, with `acknowledgeByHand`. False: it was done before, or its connection is over. */
  acknowledge({ delivery }: Message): boolean {
    return delivery !== undefined && this.raw.acknowledge(delivery);
  }

  /** Sends a request, and waits for the reply. */
  request(topic: string, payload: Payload, { timeoutMs, ...options }: RequestMessageOptions = {}): Message {
    const request = this.startRequest({ ...options, topic, payload }, timeoutMs);
    // The time of the request is what ends this, with a failure.
    for (;;) {
      const reply = this.waitForReply(request);
      if (reply) return reply;
    }
  }

  /** Sends a request that ends after so many milliseconds. Returns its number for `waitForReply`. */
  startRequest(message: Publication, timeoutMs = 30_000): bigint {
    return attempt(() => this.raw.startRequest(toPublication(message), timeout(timeoutMs)));
  }

  /** Waits for the reply to a request, for at most so many milliseconds. Undefined: it has not come yet. */
  waitForReply(request: bigint, timeoutMs?: number): Message | undefined {
    const reply = attempt(() => this.raw.waitForReply(request, timeout(timeoutMs)));
    return reply && new Message(reply);
  }

  /** Waits for the next request to answer, for at most so many milliseconds. Subscribe to its topic first. */
  nextRequest(timeoutMs?: number): IncomingRequest | undefined {
    const request = attempt(() => this.raw.nextRequest(timeout(timeoutMs)));
    if (!request) return undefined;
    const { id, message, wantsReply, remainingMs } = request;
    return { id, message: new Message(message), wantsReply, remainingMs };
  }

  /** Sends the reply to a request. */
  reply({ id }: IncomingRequest, payload: Payload, properties: ReplyProperties = {}): void {
    attempt(() => this.raw.replyWith(id, toPayload(payload), toProperties(properties)));
  }

  /** Tells the requester that its request failed, and why. */
  failRequest({ id }: IncomingRequest, why: string): void {
    attempt(() => this.raw.failRequest(id, why));
  }

  /** Lets a request go without a reply. */
  releaseRequest({ id }: IncomingRequest): void {
    this.raw.releaseRequest(id);
  }

  /** The requests to answer as they come, until none comes for so long. */
  *requests({ timeoutMs }: IterationOptions = {}): Generator<IncomingRequest, void> {
    yield* each((wait) => this.nextRequest(wait), timeoutMs);
  }

  /** Disconnects. The broker deletes the Will Message. */
  disconnect(): void {
    attempt(() => this.raw.disconnect(undefined));
  }

  /** Disconnects, and frees the client: what `using` does at the end of a block. */
  [Symbol.dispose](): void {
    try {
      this.disconnect();
    } finally {
      this.raw[Symbol.dispose]();
    }
  }
}

const QOS = ["at-most-once", "at-least-once", "exactly-once"] as const;

/** The properties of the interface, and their names here. */
const NAMES: Record<string, string> = {
  "message-expiry-interval-seconds": "messageExpiryIntervalSeconds",
  "content-type": "contentType",
  "response-topic": "responseTopic",
  "correlation-data": "correlationData",
  "topic-alias": "topicAlias",
};
const TAGS = new Map(Object.entries(NAMES).map(([tag, name]) => [name, tag]));

/** The setters that are called for each item of an option. */
const ADD = {
  ca: "addCa",
  fingerprints: "addFingerprint",
  alpn: "addAlpn",
  websocketHeaders: "addWebsocketHeader",
  fallbacks: "addFallback",
  userProperties: "addUserProperty",
} as const;

/** What takes bytes in the interface. A string would arrive as no bytes at all, or end the program. */
const BYTES = new Set(["password", "authenticationData", "ca", "alpn", "correlationData", "snapshot"]);

// Does not compile where an option has no setter in the interface, or a setter has no option.
type Setter = Extract<keyof mqtt.ConnectOptions, `set${string}` | `add${string}`>;
type Called<T> = T extends keyof typeof ADD ? (typeof ADD)[T] : T extends string ? `set${Capitalize<T>}` : never;
type Unmatched = Exclude<Setter, Called<keyof Options>> | Exclude<Called<keyof Options>, Setter>;
const everySetterHasAnOption: Unmatched extends never ? true : Unmatched = true;
void everySetterHasAnOption;

function connectOptions(options: Options): mqtt.ConnectOptions {
  const result = new mqtt.ConnectOptions();
  const setters = result as unknown as Record<string, ((...values: unknown[]) => void) | undefined>;
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const setter = ADD[name as keyof typeof ADD] ?? `set${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    if (!setters[setter]) throw wrongCall(`there is no option "${name}" of connections`);
    for (const values of valuesOf(name, value)) setters[setter](...values);
  }
  return result;
}

/** What the setter of an option is called with, each time that it is. */
function valuesOf(name: string, value: any): unknown[][] {
  if (name === "will") {
    const { delayIntervalSeconds, ...message } = value;
    return [[toPublication(message), delayIntervalSeconds]];
  }
  if (name === "clientCertificate") return [[toBytes(value.chain), toBytes(value.key)]];
  if (name === "reconnectDelaysMs") return [[...value]];
  if (name === "userProperties" || name === "websocketHeaders") return toPairs(value);
  const items = name in ADD && Array.isArray(value) ? value : [value];
  return items.map((item) => [BYTES.has(name) ? toBytes(item) : checked(name, item)]);
}

/** Numbers, text and booleans. Of anything else, bindings may make 0. */
function checked(name: string, value: unknown): unknown {
  if (Number.isInteger(value) || typeof value === "string" || typeof value === "boolean") return value;
  throw wrongCall(`the option "${name}" is a whole number, text or a boolean, and not ${typeof value}`);
}

function* each<T>(next: (timeoutMs?: number) => T | undefined, timeoutMs?: number): Generator<T, void> {
  for (;;) {
    const item = next(timeoutMs);
    if (item !== undefined) yield item;
    else if (timeoutMs !== undefined) return;
  }
}

/** The QoS of the only filter, unless the broker refused it. */
function grantedBy({ codes, reasonString }: mqtt.SubscribeAnswer, filter: string): QoS {
  const code = codes[0]!;
  if (code < 0x80) return code as QoS;
  const words = [mqtt.reasonName(code) ?? `0x${code.toString(16)}`, reasonString].filter(Boolean).join(": ");
  const message = `the broker refused the subscription to ${filter}: ${words}`;
  throw new MqttError({ kind: "refused", name: "subscribe-refused", message, code });
}

function toPublication({ topic, payload, qos, retain = false, ...properties }: Publication): mqtt.Publication {
  return { topic, payload: toPayload(payload), qos: toQos(qos), retain, properties: toProperties(properties) };
}

function toProperties({ userProperties, ...properties }: Properties): mqtt.Property[] {
  const result: mqtt.Property[] = [];
  for (const [name, value] of Object.entries(properties)) {
    const tag = TAGS.get(name);
    if (tag === undefined) throw wrongCall(`there is no option "${name}" of messages`);
    const val = BYTES.has(name) ? toBytes(value as Payload) : value;
    if (value !== undefined) result.push({ tag, val } as mqtt.Property);
  }
  for (const val of toPairs(userProperties ?? [])) result.push({ tag: "user-property", val });
  return result;
}

function toPayload(payload: Payload): mqtt.Payload {
  return typeof payload === "string" ? { tag: "text", val: payload } : { tag: "bytes", val: toBytes(payload) };
}

function toQos(qos: QoS = 0): mqtt.Qos {
  const name = QOS[qos];
  if (name === undefined) throw wrongCall(`QoS is 0, 1 or 2, and not ${qos}`);
  return name;
}

function timeout(timeoutMs = Infinity): number {
  if (!(timeoutMs >= 0)) throw wrongCall(`a timeout is a number of milliseconds, and not ${timeoutMs}`);
  return Math.min(Math.ceil(timeoutMs), 0xffff_ffff);
}

function toPairs(pairs: UserProperties): [string, string][] {
  const list = Symbol.iterator in pairs ? [...(pairs as Iterable<readonly [string, string]>)] : Object.entries(pairs);
  return list.map(([name, value]) => [String(name), String(value)]);
}

function toBytes(value: Payload): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "string") throw wrongCall(`text or a Uint8Array is needed, and not ${typeof value}`);
  // QuickJS has no TextEncoder.
  if (globalThis.TextEncoder) return new TextEncoder().encode(value);
  return Uint8Array.from(unescape(encodeURIComponent(value.toWellFormed())), (char) => char.charCodeAt(0));
}

function fromUtf8(bytes: Uint8Array): string {
  if (globalThis.TextDecoder) return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  let chars = "";
  for (let at = 0; at < bytes.length; at += 4096) chars += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return decodeURIComponent(escape(chars));
}

function wrongCall(message: string): MqttError {
  return new MqttError({ kind: "wrong-call", name: "invalid-argument", message });
}

/** What is thrown for a failure has its record in `payload`, and prints only "[object Object]". */
function asError(error: unknown): unknown {
  const failure = (error as { payload?: mqtt.Failure } | undefined)?.payload;
  return typeof failure?.kind === "string" ? new MqttError(failure) : error;
}
