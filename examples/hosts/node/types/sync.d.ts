// The face whose calls block, for scripts and tests.

import type {
  AuthenticationStep,
  ConnectionInfo,
  Options,
  Disconnection,
  Event,
  InFlightMessage,
  Message,
  MqttError,
  Payload,
  Publication,
  PublishAnswer,
  MessageOptions,
  QoS,
  ReplyOptions,
  Request,
  SubscribeAnswer,
  Subscription,
  SubscriptionOptions,
  UserProperties,
} from './common.js';
export * from './common.js';

/** A client. Its calls block. */
export class Client {
  private constructor();
  /** Publishes a message; gives the Reason Code: 0, or 0x10 if nobody has subscribed to the topic. */
  publish(topic: string, payload?: Payload, options?: MessageOptions): number;
  /** As `publish`, with everything that the broker answered. */
  publishMessage(message: Publication): PublishAnswer;
  /** Publishes messages in order, many at a time; gives the Reason Code or the failure of each. */
  publishBatch(messages: Publication[]): Array<number | MqttError>;
  /** Puts a message into the outbound buffer: `flush` sends it, or the next call that waits. */
  enqueue(topic: string, payload?: Payload, options?: { qos?: QoS; retain?: boolean }): void;
  /** Sends everything that waits to be sent. */
  flush(): void;
  /** Subscribes to a Topic Filter; gives the granted QoS. */
  subscribe(filter: string, options?: SubscriptionOptions): number;
  /** Subscribes to several filters; look for refusals among the Reason Codes. */
  subscribeWith(
    subscriptions: Subscription[],
    options?: { identifier?: number; userProperties?: UserProperties },
  ): SubscribeAnswer;
  /** Unsubscribes from a Topic Filter. */
  unsubscribe(filter: string): void;
  /** Unsubscribes from several filters. */
  unsubscribeWith(filters: string[], options?: { userProperties?: UserProperties }): SubscribeAnswer;
  /** Gives the next message; nothing if none came within the timeout. Without one it waits for ever. */
  receive(timeoutMs?: number): Message | undefined;
  /** Waits as `receive`, and then takes all messages that are there. */
  receiveBatch(maxMessages: number, timeoutMs?: number): Message[];
  /** Acknowledges a message, with `acknowledgeByHand`; whether it was still to be acknowledged. */
  acknowledge(message: Message): boolean;
  /** Publishes a request, and gives the reply. The timeout is 30 seconds unless given. */
  request(topic: string, payload?: Payload, options?: MessageOptions & { timeoutMs?: number }): Message;
  /** Gives the next request to answer; nothing if none came within the timeout. */
  nextRequest(timeoutMs?: number): Request | undefined;
  /** Sends the reply. */
  reply(request: Request, payload?: Payload, options?: ReplyOptions): void;
  /** Tells the requester that its request failed, and why. */
  failRequest(request: Request, why: string): void;
  /** Lets a request go without a reply. */
  releaseRequest(request: Request): void;
  /** What the broker sent when it accepted the connection. */
  info(): ConnectionInfo;
  /** Whether there is a connection, as far as is known without looking. */
  isConnected(): boolean;
  /** How many QoS 1 and 2 messages are in flight to the broker. */
  inFlight(): number;
  /** Those messages. */
  messagesInFlight(): InFlightMessage[];
  /** Gives up a message that is in flight. */
  giveUpMessage(id: bigint): boolean;
  /** Why the last connection ended, or the last attempt to make one failed. */
  lastFailure(): MqttError | undefined;
  /** Gives the next event; nothing if nothing happened within the timeout. */
  nextEvent(timeoutMs?: number): Event | undefined;
  /** Counters, by name. */
  stats(): Record<string, number>;
  /** The session, for a later client to continue, with the option `snapshot`. */
  snapshot(): Uint8Array;
  /** Changes what the next connection is made with. */
  update(options: Options): void;
  /** Connects again; whether the broker still had the session. */
  reconnect(): boolean;
  /** Waits for the broker's next step of the authentication. */
  nextStep(): AuthenticationStep;
  /** Answers a challenge. */
  answerChallenge(data: string | Uint8Array): void;
  /** Authenticates again over this connection. */
  authenticateAgain(data: string | Uint8Array): void;
  /** Whether a Topic Filter matches a Topic Name. */
  topicMatches(filter: string, topic: string): boolean;
  /** Sends what waits to be sent, then DISCONNECT, and ends this client. */
  disconnect(disconnection?: Disconnection): void;
  /** Cuts the connection, and ends this client: the broker publishes the Will Message. */
  close(): void;
  /** Publishes a request, and gives a number for `waitForReply`. */
  startRequest(message: Publication, timeoutMs?: number): bigint;
  /** Waits for the reply to a request; nothing if it has not come yet. */
  waitForReply(request: bigint, timeoutMs?: number): Message | undefined;
  /** Gives a request up. */
  cancelRequest(request: bigint): void;
  /** How many milliseconds from now the client has to be called again. */
  deadlineMs(): number | undefined;
  /** The messages, one after the other. */
  messages(): Generator<Message, void>;
  /** The requests to answer, one after the other. */
  requests(): Generator<Request, void>;
  [Symbol.dispose](): void;
}

/** Connects to a broker: `mqtt://[user:password@]host[:port]`, or `mqtts://` with TLS. */
export function connect(url: string, options?: Options): Client;

/** Begins to connect with enhanced authentication: continue with `nextStep`. */
export function start(url: string, options?: Options): Client;
