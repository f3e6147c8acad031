import { command } from "./command.js";
import { connect, MqttError, type Client, type Message } from "./mqtt.js";

const TOPIC = "mqtt-wasi/guest/typescript";

interface Reading {
  celsius: number;
}

function show(message: Message): void {
  const { celsius } = message.json() as Reading;
  console.log(`${message.topic}: ${celsius} ${message.userProperty("unit")}`);
}

function measure(client: Client): void {
  const reading: Reading = { celsius: 21.5 };
  client.publish(`${TOPIC}/kitchen`, JSON.stringify(reading), {
    qos: 1,
    contentType: "application/json",
    userProperties: { unit: "C" },
  });
  for (const message of client.messages({ timeoutMs: 5_000 })) {
    show(message);
    break;
  }
}

function beRefused(client: Client): void {
  try {
    // Only the broker itself may publish there.
    client.publish("$SYS/broker/uptime", "0", { qos: 1 });
  } catch (error) {
    if (!(error instanceof MqttError)) throw error;
    console.log(`${error.kind} ${error.code} ${error.reasonCode}: ${error.message}`);
  }
}

function toFahrenheit(celsius: number): number {
  return (celsius * 9) / 5 + 32;
}

/** Asks for a conversion, and answers, which another client would do otherwise. */
function convert(client: Client): void {
  const question = client.startRequest({ topic: `${TOPIC}/to-fahrenheit`, payload: "21.5" }, 5_000);
  for (const request of client.requests({ timeoutMs: 5_000 })) {
    client.reply(request, String(toFahrenheit(Number(request.message.text))));
    break;
  }
  console.log(`21.5 C are ${client.waitForReply(question, 5_000)?.text} F`);
}

export const run = command(([url = "mqtt://localhost"]) => {
  using client = connect(url, { keepAliveSeconds: 30 });
  client.subscribe(`${TOPIC}/#`, { qos: 1 });
  measure(client);
  beRefused(client);
  convert(client);
});
