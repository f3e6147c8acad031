// What both faces have in common. Units, ranges and defaults are those of the component's WIT.

/** What a failure means for the program. The list is complete. */
export type FailureKind =
  | 'wrong-call'
  | 'try-later'
  | 'timed-out'
  | 'refused'
  | 'connection-over'
  | 'not-trusted'
  | 'protocol-broken';

/** A call that failed. `message` tells what went wrong, in words. */
export class MqttError extends Error {
  /** What it means for the program. */
  readonly kind: FailureKind;
  /** What it is, exactly: for example `publish-refused`. */
  readonly code: string;
  /** The Reason Code of the broker, as MQTT's own number. */
  readonly reasonCode: number | undefined;
}

/** 0: at most once. 1: at least once. 2: exactly once. */
export type QoS = 0 | 1 | 2;

/** Text, or bytes. */
export type Payload = string | Uint8Array | ArrayBuffer | ArrayBufferView;

/** An object, or a list of pairs where names repeat. */
export type UserProperties = Record<string, string> | Array<[string, string]>;

/** How a message is published. */
export interface MessageOptions {
  /** Default: 0. */
  qos?: QoS;
  /** Whether the broker keeps the message for later subscribers. Default: false. */
  retain?: boolean;
  messageExpiryIntervalSeconds?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: string | Uint8Array;
  topicAlias?: number;
  userProperties?: UserProperties;
}

/** A message to publish. */
export interface Publication extends MessageOptions {
  topic: string;
  /** Default: empty. */
  payload?: Payload;
}

/** A received message. */
export class Message {
  readonly topic: string;
  /** Text with a Payload Format Indicator of 1, otherwise bytes. */
  readonly payload: string | Uint8Array;
  readonly qos: QoS;
  readonly retain: boolean;
  /** Whether the broker sent it again. */
  readonly duplicate: boolean;
  /** The number for `acknowledge`; none where there is nothing to acknowledge. */
  readonly delivery?: bigint;
  readonly messageExpiryIntervalSeconds?: number;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Uint8Array;
  readonly userProperties: Array<[string, string]>;
  readonly subscriptionIdentifiers?: number[];
  /** The payload as text. */
  readonly text: string;
  /** The payload as bytes. */
  readonly bytes: Uint8Array;
  /** The payload, parsed as JSON. */
  json(): any;
}

/** A request to answer. */
export interface Request {
  readonly id: bigint;
  readonly message: Message;
  /** Whether the requester waits for a reply. */
  readonly wantsReply: boolean;
  /** How many milliseconds it still waits, if that is known. */
  readonly remainingMs?: number;
}

export interface SubscribeOptions {
  /** The highest QoS that messages are delivered with. Default: 0. */
  qos?: QoS;
  noLocal?: boolean;
  retainAsPublished?: boolean;
  /** 1: retained messages only if the subscription did not exist before. 2: none. Default: 0. */
  retainHandling?: 0 | 1 | 2;
}

export interface SubscriptionOptions extends SubscribeOptions {
  /** A number that comes with each message of this subscription. */
  identifier?: number;
  userProperties?: UserProperties;
}

export interface Subscription extends SubscribeOptions {
  filter: string;
}

/** What the broker answered, with a Reason Code for each filter. */
export interface SubscribeAnswer {
  codes: number[];
  reasonString?: string;
  userProperties: Array<[string, string]>;
}

export interface PublishAnswer {
  code: number;
  reasonString?: string;
  userProperties: Array<[string, string]>;
}

export interface ReplyOptions {
  contentType?: string;
  userProperties?: UserProperties;
}

/** The options of a connection. Each has a default. */
export interface Options {
  /** More that may be connected to than the brokers: URLs, or `host:port`. */
  allow?: string | string[];
  clientId?: string;
  cleanStart?: boolean;
  keepAliveSeconds?: number;
  userName?: string;
  password?: string | Uint8Array;
  will?: (Publication & { delayIntervalSeconds?: number }) | null;
  sessionExpiryIntervalSeconds?: number;
  receiveMaximum?: number;
  maximumPacketSize?: number;
  topicAliasMaximum?: number;
  outboundTopicAliases?: number;
  /** Certificates of authorities, in PEM or DER. */
  ca?: string | Uint8Array | Array<string | Uint8Array>;
  fingerprints?: string | string[];
  onlyOwnCa?: boolean;
  clientCertificate?: { chain: string | Uint8Array; key: string | Uint8Array };
  serverName?: string;
  alpn?: string | string[];
  websocketHeaders?: UserProperties;
  proxy?: string;
  fallbacks?: string | string[];
  reconnect?: boolean;
  /** The bound of the first delay, and of all. */
  reconnectDelaysMs?: [number, number];
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

/** What the broker sent when it accepted the connection. */
export interface ConnectionInfo {
  clientId: string;
  sessionPresent: boolean;
  sessionExpiryIntervalSeconds?: number;
  receiveMaximum: number;
  maximumQos: QoS;
  retainAvailable: boolean;
  maximumPacketSize?: number;
  topicAliasMaximum: number;
  wildcardSubscriptionAvailable: boolean;
  subscriptionIdentifierAvailable: boolean;
  sharedSubscriptionAvailable: boolean;
  serverKeepAliveSeconds?: number;
  responseInformation?: string;
  serverReference?: string;
  reasonString?: string;
  userProperties: Array<[string, string]>;
}

/** Something that happened to the connection. */
export interface Event {
  kind: 'connected' | 'disconnected' | 'subscription' | 'message' | 'other';
  name: string;
  message: string;
  subject?: string;
  code?: number;
  cause?: string;
}

export interface InFlightMessage {
  id: bigint;
  topic: string;
  payloadBytes: number;
  attempts: number;
}

export interface AuthenticationStep {
  isAuthenticated: boolean;
  data?: Uint8Array;
  reasonString?: string;
  userProperties: Array<[string, string]>;
}

export interface Disconnection {
  reasonCode?: number;
  sessionExpiryIntervalSeconds?: number;
  reasonString?: string;
  userProperties?: UserProperties;
}
