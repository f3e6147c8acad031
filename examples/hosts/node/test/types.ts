// The types describe what a program writes: the compiler checks this file, and nothing runs it.

import { connect, MqttError, type Message } from 'mqtt-wasi';
import * as sync from 'mqtt-wasi/sync';

export async function asynchronous(signal: AbortSignal): Promise<string[]> {
  await using client = await connect('mqtt://localhost', { clientId: 'types', password: new Uint8Array(3) });
  await client.subscribe('sensors/+', { qos: 1, retainHandling: 2 });
  const code: number = await client.publish('sensors/kitchen', '21.5', { qos: 1, userProperties: { room: 'kitchen' } });
  const texts = [String(code)];
  for await (const message of client.messages({ signal })) texts.push(message.text);
  try {
    await client.publish('a/+');
  } catch (error) {
    if (error instanceof MqttError && error.kind === 'wrong-call') texts.push(error.message);
  }
  const reply: Message = await client.request('add', JSON.stringify([1, 2]), { timeoutMs: 500, signal });
  return [...texts, reply.text];
}

export function synchronous(): Uint8Array | undefined {
  const client: sync.Client = sync.connect('mqtt://localhost');
  for (const { id } of client.messagesInFlight()) client.giveUpMessage(id);
  const message: sync.Message | undefined = client.receive(1000);
  client.disconnect({ reasonCode: 4 });
  return message?.bytes;
}

// @ts-expect-error: there is no such QoS
export const wrong = (client: sync.Client) => client.publish('t', 'x', { qos: 3 });
