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
/** Why a call failed. Its message is for people: where the broker gave reasons, they are in it. */
export class MqttError extends Error {
    /** What it means for the program. */
    kind;
    /** What it is, exactly, for example `publish-refused`. Later versions may add others: see wit/mqtt.wit. */
    code;
    /** The Reason Code that the broker gave, or that it was sent with the DISCONNECT. */
    reasonCode;
    constructor({ kind, name, message, code }) {
        super(message);
        this.name = "MqttError";
        this.kind = kind;
        this.code = name;
        this.reasonCode = code;
    }
}
/** Calls a function that uses the interface, and throws an MqttError where that throws a failure. */
export function attempt(call) {
    try {
        return call();
    }
    catch (error) {
        throw asError(error);
    }
}
/** Connects to a broker. */
export function connect(url, options = {}) {
    return new Client(attempt(() => mqtt.connect(url, connectOptions(options))));
}
/** A received message. */
export class Message {
    topic;
    /** Text if the sender said that it is, otherwise bytes. */
    payload;
    qos;
    retain;
    /** Whether the broker sent it again, so it may have been received before. */
    duplicate;
    /** For `acknowledge`, with `acknowledgeByHand`. */
    delivery;
    subscriptionIdentifiers;
    messageExpiryIntervalSeconds;
    contentType;
    responseTopic;
    correlationData;
    userProperties = [];
    constructor(message) {
        this.topic = message.topic;
        this.payload = message.payload.val;
        this.qos = QOS.indexOf(message.qos);
        this.retain = message.retain;
        this.duplicate = message.duplicate;
        this.delivery = message.delivery;
        this.subscriptionIdentifiers = [...(message.subscriptionIdentifiers ?? [])];
        for (const property of message.properties ?? []) {
            if (property.tag === "user-property")
                this.userProperties.push(property.val);
            else
                Object.assign(this, { [NAMES[property.tag]]: property.val });
        }
    }
    /** The payload as text. Throws if it is not UTF-8. */
    get text() {
        return typeof this.payload === "string" ? this.payload : fromUtf8(this.payload);
    }
    /** The payload as bytes. */
    get bytes() {
        return toBytes(this.payload);
    }
    /** The payload, parsed as JSON. Throws if it is none. */
    json() {
        return JSON.parse(this.text);
    }
    /** The value of the first User Property with this name. */
    userProperty(name) {
        return this.userProperties.find((property) => property[0] === name)?.[1];
    }
}
/** A client with one session, and at most one connection at a time. All calls block, for a bounded time. */
export class Client {
    /** The client of the interface. */
    raw;
    constructor(raw) {
        this.raw = raw;
    }
    /** Publishes a message. Returns the Reason Code: 0x10 if the broker knows of no subscriber, otherwise 0. */
    publish(topic, payload, options = {}) {
        const message = toPublication({ ...options, topic, payload });
        if (message.properties.length > 0)
            return attempt(() => this.raw.publishMessage(message).code);
        return attempt(() => this.raw.publish(topic, message.payload, message.qos, message.retain));
    }
    /** Publishes many messages, much faster than one by one. Returns for each its Reason Code, or why it failed. */
    publishBatch(messages) {
        const results = attempt(() => this.raw.publishBatch(Array.from(messages, toPublication)));
        return results.map((result) => (result.tag === "ok" ? result.val : new MqttError(result.val)));
    }
    /** Subscribes to a Topic Filter. Returns the granted QoS. */
    subscribe(filter, options = {}) {
        const { qos, identifier, userProperties = [], noLocal, retainAsPublished, retainHandling, ...others } = options;
        for (const name in others)
            throw wrongCall(`there is no option "${name}" of subscriptions`);
        const maximumQos = toQos(qos);
        if (Object.keys(options).every((name) => name === "qos")) {
            return QOS.indexOf(attempt(() => this.raw.subscribe(filter, maximumQos)));
        }
        const flags = { noLocal, retainAsPublished, retainedIfNew: retainHandling === 1, noRetained: retainHandling === 2 };
        const subscriptions = [{ filter, maximumQos, options: flags }];
        const answer = attempt(() => this.raw.subscribeWith(subscriptions, identifier, toPairs(userProperties)));
        return grantedBy(answer, filter);
    }
    /** Unsubscribes from a Topic Filter. That there was no such subscription is no error. */
    unsubscribe(filter) {
        attempt(() => this.raw.unsubscribe(filter));
    }
    /** Waits for the next message, for at most so many milliseconds. Undefined: none came. */
    receive(timeoutMs) {
        const message = attempt(() => this.raw.receive(timeout(timeoutMs)));
        return message && new Message(message);
    }
    /** Waits for a message, and returns it with all that are there, at most so many. */
    receiveBatch(maxMessages, timeoutMs) {
        const messages = attempt(() => this.raw.receiveBatch(maxMessages, timeout(timeoutMs)));
        return messages.map((message) => new Message(message));
    }
    /** The messages as they come, until none comes for so long. */
    *messages({ timeoutMs } = {}) {
        yield* each((wait) => this.receive(wait), timeoutMs);
    }
    /** Acknowledges a message, with `acknowledgeByHand`. False: it was done before, or its connection is over. */
    acknowledge({ delivery }) {
        return delivery !== undefined && this.raw.acknowledge(delivery);
    }
    /** Sends a request, and waits for the reply. */
    request(topic, payload, { timeoutMs, ...options } = {}) {
        const request = this.startRequest({ ...options, topic, payload }, timeoutMs);
        // The time of the request is what ends this, with a failure.
        for (;;) {
            const reply = this.waitForReply(request);
            if (reply)
                return reply;
        }
    }
    /** Sends a request that ends after so many milliseconds. Returns its number for `waitForReply`. */
    startRequest(message, timeoutMs = 30_000) {
        return attempt(() => this.raw.startRequest(toPublication(message), timeout(timeoutMs)));
    }
    /** Waits for the reply to a request, for at most so many milliseconds. Undefined: it has not come yet. */
    waitForReply(request, timeoutMs) {
        const reply = attempt(() => this.raw.waitForReply(request, timeout(timeoutMs)));
        return reply && new Message(reply);
    }
    /** Waits for the next request to answer, for at most so many milliseconds. Subscribe to its topic first. */
    nextRequest(timeoutMs) {
        const request = attempt(() => this.raw.nextRequest(timeout(timeoutMs)));
        if (!request)
            return undefined;
        const { id, message, wantsReply, remainingMs } = request;
        return { id, message: new Message(message), wantsReply, remainingMs };
    }
    /** Sends the reply to a request. */
    reply({ id }, payload, properties = {}) {
        attempt(() => this.raw.replyWith(id, toPayload(payload), toProperties(properties)));
    }
    /** Tells the requester that its request failed, and why. */
    failRequest({ id }, why) {
        attempt(() => this.raw.failRequest(id, why));
    }
    /** Lets a request go without a reply. */
    releaseRequest({ id }) {
        this.raw.releaseRequest(id);
    }
    /** The requests to answer as they come, until none comes for so long. */
    *requests({ timeoutMs } = {}) {
        yield* each((wait) => this.nextRequest(wait), timeoutMs);
    }
    /** Disconnects. The broker deletes the Will Message. */
    disconnect() {
        attempt(() => this.raw.disconnect(undefined));
    }
    /** Disconnects, and frees the client: what `using` does at the end of a block. */
    [Symbol.dispose]() {
        try {
            this.disconnect();
        }
        finally {
            this.raw[Symbol.dispose]();
        }
    }
}
const QOS = ["at-most-once", "at-least-once", "exactly-once"];
/** The properties of the interface, and their names here. */
const NAMES = {
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
};
/** What takes bytes in the interface. A string would arrive as no bytes at all, or end the program. */
const BYTES = new Set(["password", "authenticationData", "ca", "alpn", "correlationData", "snapshot"]);
const everySetterHasAnOption = true;
void everySetterHasAnOption;
function connectOptions(options) {
    const result = new mqtt.ConnectOptions();
    const setters = result;
    for (const [name, value] of Object.entries(options)) {
        if (value === undefined)
            continue;
        const setter = ADD[name] ?? `set${name.charAt(0).toUpperCase()}${name.slice(1)}`;
        if (!setters[setter])
            throw wrongCall(`there is no option "${name}" of connections`);
        for (const values of valuesOf(name, value))
            setters[setter](...values);
    }
    return result;
}
/** What the setter of an option is called with, each time that it is. */
function valuesOf(name, value) {
    if (name === "will") {
        const { delayIntervalSeconds, ...message } = value;
        return [[toPublication(message), delayIntervalSeconds]];
    }
    if (name === "clientCertificate")
        return [[toBytes(value.chain), toBytes(value.key)]];
    if (name === "reconnectDelaysMs")
        return [[...value]];
    if (name === "userProperties" || name === "websocketHeaders")
        return toPairs(value);
    const items = name in ADD && Array.isArray(value) ? value : [value];
    return items.map((item) => [BYTES.has(name) ? toBytes(item) : checked(name, item)]);
}
/** Numbers, text and booleans. Of anything else, bindings may make 0. */
function checked(name, value) {
    if (Number.isInteger(value) || typeof value === "string" || typeof value === "boolean")
        return value;
    throw wrongCall(`the option "${name}" is a whole number, text or a boolean, and not ${typeof value}`);
}
function* each(next, timeoutMs) {
    for (;;) {
        const item = next(timeoutMs);
        if (item !== undefined)
            yield item;
        else if (timeoutMs !== undefined)
            return;
    }
}
/** The QoS of the only filter, unless the broker refused it. */
function grantedBy({ codes, reasonString }, filter) {
    const code = codes[0];
    if (code < 0x80)
        return code;
    const words = [mqtt.reasonName(code) ?? `0x${code.toString(16)}`, reasonString].filter(Boolean).join(": ");
    const message = `the broker refused the subscription to ${filter}: ${words}`;
    throw new MqttError({ kind: "refused", name: "subscribe-refused", message, code });
}
function toPublication({ topic, payload, qos, retain = false, ...properties }) {
    return { topic, payload: toPayload(payload), qos: toQos(qos), retain, properties: toProperties(properties) };
}
function toProperties({ userProperties, ...properties }) {
    const result = [];
    for (const [name, value] of Object.entries(properties)) {
        const tag = TAGS.get(name);
        if (tag === undefined)
            throw wrongCall(`there is no option "${name}" of messages`);
        const val = BYTES.has(name) ? toBytes(value) : value;
        if (value !== undefined)
            result.push({ tag, val });
    }
    for (const val of toPairs(userProperties ?? []))
        result.push({ tag: "user-property", val });
    return result;
}
function toPayload(payload) {
    return typeof payload === "string" ? { tag: "text", val: payload } : { tag: "bytes", val: toBytes(payload) };
}
function toQos(qos = 0) {
    const name = QOS[qos];
    if (name === undefined)
        throw wrongCall(`QoS is 0, 1 or 2, and not ${qos}`);
    return name;
}
function timeout(timeoutMs = Infinity) {
    if (!(timeoutMs >= 0))
        throw wrongCall(`a timeout is a number of milliseconds, and not ${timeoutMs}`);
    return Math.min(Math.ceil(timeoutMs), 0xffff_ffff);
}
function toPairs(pairs) {
    const list = Symbol.iterator in pairs ? [...pairs] : Object.entries(pairs);
    return list.map(([name, value]) => [String(name), String(value)]);
}
function toBytes(value) {
    if (value instanceof Uint8Array)
        return value;
    if (typeof value !== "string")
        throw wrongCall(`text or a Uint8Array is needed, and not ${typeof value}`);
    // QuickJS has no TextEncoder.
    if (globalThis.TextEncoder)
        return new TextEncoder().encode(value);
    return Uint8Array.from(unescape(encodeURIComponent(value.toWellFormed())), (char) => char.charCodeAt(0));
}
function fromUtf8(bytes) {
    if (globalThis.TextDecoder)
        return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    let chars = "";
    for (let at = 0; at < bytes.length; at += 4096)
        chars += String.fromCharCode(...bytes.subarray(at, at + 4096));
    return decodeURIComponent(escape(chars));
}
function wrongCall(message) {
    return new MqttError({ kind: "wrong-call", name: "invalid-argument", message });
}
/** What is thrown for a failure has its record in `payload`, and prints only "[object Object]". */
function asError(error) {
    const failure = error?.payload;
    return typeof failure?.kind === "string" ? new MqttError(failure) : error;
}
