// The face that does not block: promises, and `for await`.

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

/** A client. Calls may be made at any time, also while others wait. */
export class Client {
  private constructor();
  /** Publishes a message; gives the Reason Code: 0, or 0x10 if nobody has subscribed to the topic. */
  publish(topic: string, payload?: Payload, options?: MessageOptions): Promise<number>;
  /** As `publish`, with everything that the broker answered. */
  publishMessage(message: Publication): Promise<PublishAnswer>;
  /** Publishes messages in order, many at a time; gives the Reason Code or the failure of each. */
  publishBatch(messages: Publication[]): Promise<Array<number | MqttError>>;
  /** Puts a message into the outbound buffer: `flush` sends it, or the next call that waits. */
  enqueue(topic: string, payload?: Payload, options?: { qos?: QoS; retain?: boolean }): Promise<void>;
  /** Sends everything that waits to be sent. */
  flush(): Promise<void>;
  /** Subscribes to a Topic Filter; gives the granted QoS. */
  subscribe(filter: string, options?: SubscriptionOptions): Promise<number>;
  /** Subscribes to several filters; look for refusals among the Reason Codes. */
  subscribeWith(
    subscriptions: Subscription[],
    options?: { identifier?: number; userProperties?: UserProperties },
  ): Promise<SubscribeAnswer>;
  /** Unsubscribes from a Topic Filter. */
  unsubscribe(filter: string): Promise<void>;
  /** Unsubscribes from several filters. */
  unsubscribeWith(filters: string[], options?: { userProperties?: UserProperties }): Promise<SubscribeAnswer>;
  /** Gives the next message; nothing if none came within the timeout. Without one it waits for ever. */
  receive(timeoutMs?: number, options?: { signal?: AbortSignal }): Promise<Message | undefined>;
  /** Waits as `receive`, and then takes all messages that are there. */
  receiveBatch(maxMessages: number, timeoutMs?: number, options?: { signal?: AbortSignal }): Promise<Message[]>;
  /** Acknowledges a message, with `acknowledgeByHand`; whether it was still to be acknowledged. */
  acknowledge(message: Message): Promise<boolean>;
  /** Publishes a request, and gives the reply. The timeout is 30 seconds unless given. */
  request(
    topic: string,
    payload?: Payload,
    options?: MessageOptions & { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<Message>;
  /** Gives the next request to answer; nothing if none came within the timeout. */
  nextRequest(timeoutMs?: number, options?: { signal?: AbortSignal }): Promise<Request | undefined>;
  /** Sends the reply. */
  reply(request: Request, payload?: Payload, options?: ReplyOptions): Promise<void>;
  /** Tells the requester that its request failed, and why. */
  failRequest(request: Request, why: string): Promise<void>;
  /** Lets a request go without a reply. */
  releaseRequest(request: Request): Promise<void>;
  /** What the broker sent when it accepted the connection. */
  info(): Promise<ConnectionInfo>;
  /** Whether there is a connection, as far as is known without looking. */
  isConnected(): Promise<boolean>;
  /** How many QoS 1 and 2 messages are in flight to the broker. */
  inFlight(): Promise<number>;
  /** Those messages. */
  messagesInFlight(): Promise<InFlightMessage[]>;
  /** Gives up a message that is in flight. */
  giveUpMessage(id: bigint): Promise<boolean>;
  /** Why the last connection ended, or the last attempt to make one failed. */
  lastFailure(): Promise<MqttError | undefined>;
  /** Gives the next event; nothing if nothing happened within the timeout. */
  nextEvent(timeoutMs?: number, options?: { signal?: AbortSignal }): Promise<Event | undefined>;
  /** Counters, by name. */
  stats(): Promise<Record<string, number>>;
  /** The session, for a later client to continue, with the option `snapshot`. */
  snapshot(): Promise<Uint8Array>;
  /** Changes what the next connection is made with. */
  update(options: Options): Promise<void>;
  /** Connects again; whether the broker still had the session. */
  reconnect(): Promise<boolean>;
  /** Waits for the broker's next step of the authentication. */
  nextStep(): Promise<AuthenticationStep>;
  /** Answers a challenge. */
  answerChallenge(data: string | Uint8Array): Promise<void>;
  /** Authenticates again over this connection. */
  authenticateAgain(data: string | Uint8Array): Promise<void>;
  /** Whether a Topic Filter matches a Topic Name. */
  topicMatches(filter: string, topic: string): Promise<boolean>;
  /** Sends what waits to be sent, then DISCONNECT, and ends this client. */
  disconnect(disconnection?: Disconnection): Promise<void>;
  /** Cuts the connection, and ends this client: the broker publishes the Will Message. */
  close(): Promise<void>;
  /** Whether its user has ended it. */
  readonly isClosed: boolean;
  /** The messages, one after the other, until the client is disconnected. `atOnce`: how many are fetched together. */
  messages(options?: { atOnce?: number; signal?: AbortSignal }): AsyncGenerator<Message, void>;
  /** The requests to answer, one after the other. */
  requests(options?: { signal?: AbortSignal }): AsyncGenerator<Request, void>;
  /** The events, one after the other. */
  events(options?: { signal?: AbortSignal }): AsyncGenerator<Event, void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Connects to a broker: `mqtt://[user:password@]host[:port]`, or `mqtts://` with TLS. */
export function connect(url: string, options?: Options): Promise<Client>;

/** Begins to connect with enhanced authentication: continue with `nextStep`. */
export function start(url: string, options?: Options): Promise<Client>;
