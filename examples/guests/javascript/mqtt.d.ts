import * as mqtt from "mqtt-wasi:client/mqtt@0.1.0";
/** How often a message is delivered: at most once, at least once, exactly once. */
export type QoS = 0 | 1 | 2;
/** Text has the Payload Format Indicator 1, and bytes have none. */
export type Payload = string | Uint8Array;
/** Names and values. A name may repeat, except in an object. */
export type UserProperties = Record<string, string> | Iterable<readonly [string, string]>;
/** What an error means for the program. This list is complete. */
export type FailureKind = "wrong-call" | "try-later" | "timed-out" | "refused" | "connection-over" | "not-trusted" | "protocol-broken";
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
export type RequestMessageOptions = MessageOptions & {
    timeoutMs?: number;
};
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
    will?: Publication & {
        delayIntervalSeconds?: number;
    };
    sessionExpiryIntervalSeconds?: number;
    receiveMaximum?: number;
    maximumPacketSize?: number;
    topicAliasMaximum?: number;
    outboundTopicAliases?: number;
    ca?: readonly (string | Uint8Array)[];
    fingerprints?: readonly string[];
    onlyOwnCa?: boolean;
    clientCertificate?: {
        chain: string | Uint8Array;
        key: string | Uint8Array;
    };
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
export declare class MqttError extends Error {
    /** What it means for the program. */
    readonly kind: FailureKind;
    /** What it is, exactly, for example `publish-refused`. Later versions may add others: see wit/mqtt.wit. */
    readonly code: string;
    /** The Reason Code that the broker gave, or that it was sent with the DISCONNECT. */
    readonly reasonCode: number | undefined;
    constructor({ kind, name, message, code }: mqtt.Failure);
}
/** Calls a function that uses the interface, and throws an MqttError where that throws a failure. */
export declare function attempt<T>(call: () => T): T;
/** Connects to a broker. */
export declare function connect(url: string, options?: Options): Client;
/** A received message. */
export declare class Message {
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
    readonly userProperties: [string, string][];
    constructor(message: mqtt.Message);
    /** The payload as text. Throws if it is not UTF-8. */
    get text(): string;
    /** The payload as bytes. */
    get bytes(): Uint8Array;
    /** The payload, parsed as JSON. Throws if it is none. */
    json(): unknown;
    /** The value of the first User Property with this name. */
    userProperty(name: string): string | undefined;
}
/** A client with one session, and at most one connection at a time. All calls block, for a bounded time. */
export declare class Client {
    /** The client of the interface. */
    readonly raw: mqtt.Client;
    constructor(raw: mqtt.Client);
    /** Publishes a message. Returns the Reason Code: 0x10 if the broker knows of no subscriber, otherwise 0. */
    publish(topic: string, payload: Payload, options?: MessageOptions): number;
    /** Publishes many messages, much faster than one by one. Returns for each its Reason Code, or why it failed. */
    publishBatch(messages: Iterable<Publication>): (number | MqttError)[];
    /** Subscribes to a Topic Filter. Returns the granted QoS. */
    subscribe(filter: string, options?: SubscribeOptions): QoS;
    /** Unsubscribes from a Topic Filter. That there was no such subscription is no error. */
    unsubscribe(filter: string): void;
    /** Waits for the next message, for at most so many milliseconds. Undefined: none came. */
    receive(timeoutMs?: number): Message | undefined;
    /** Waits for a message, and returns it with all that are there, at most so many. */
    receiveBatch(maxMessages: number, timeoutMs?: number): Message[];
    /** The messages as they come, until none comes for so long. */
    messages({ timeoutMs }?: IterationOptions): Generator<Message, void>;
    /** Acknowledges a message, with `acknowledgeByHand`. False: it was done before, or its connection is over. */
    acknowledge({ delivery }: Message): boolean;
    /** Sends a request, and waits for the reply. */
    request(topic: string, payload: Payload, { timeoutMs, ...options }?: RequestMessageOptions): Message;
    /** Sends a request that ends after so many milliseconds. Returns its number for `waitForReply`. */
    startRequest(message: Publication, timeoutMs?: number): bigint;
    /** Waits for the reply to a request, for at most so many milliseconds. Undefined: it has not come yet. */
    waitForReply(request: bigint, timeoutMs?: number): Message | undefined;
    /** Waits for the next request to answer, for at most so many milliseconds. Subscribe to its topic first. */
    nextRequest(timeoutMs?: number): IncomingRequest | undefined;
    /** Sends the reply to a request. */
    reply({ id }: IncomingRequest, payload: Payload, properties?: ReplyProperties): void;
    /** Tells the requester that its request failed, and why. */
    failRequest({ id }: IncomingRequest, why: string): void;
    /** Lets a request go without a reply. */
    releaseRequest({ id }: IncomingRequest): void;
    /** The requests to answer as they come, until none comes for so long. */
    requests({ timeoutMs }?: IterationOptions): Generator<IncomingRequest, void>;
    /** Disconnects. The broker deletes the Will Message. */
    disconnect(): void;
    /** Disconnects, and frees the client: what `using` does at the end of a block. */
    [Symbol.dispose](): void;
}
