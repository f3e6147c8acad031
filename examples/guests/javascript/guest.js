import { command } from "./command.js";
import { connect, MqttError } from "./mqtt.js";

const TOPIC = "mqtt-wasi/guest/javascript";

function measure(client) {
  const options = { qos: 1, contentType: "text/plain", userProperties: { unit: "C" } };
  client.publish(`${TOPIC}/kitchen`, "21.5", options);
  for (const message of client.messages({ timeoutMs: 5_000 })) {
    console.log(`${message.topic}: ${message.text} ${message.userProperty("unit")}`);
    break;
  }
}

function beRefused(client) {
  try {
    // Only the broker itself may publish there.
    client.publish("$SYS/broker/uptime", "0", { qos: 1 });
  } catch (error) {
    if (!(error instanceof MqttError)) throw error;
    console.log(`${error.kind} ${error.code} ${error.reasonCode}: ${error.message}`);
  }
}

// Asks for a conversion, and answers, which another client would do otherwise.
function convert(client) {
  const question = client.startRequest({ topic: `${TOPIC}/to-fahrenheit`, payload: "21.5" }, 5_000);
  const request = client.nextRequest(5_000);
  client.reply(request, `${(Number(request.message.text) * 9) / 5 + 32}`);
  console.log(`21.5 C are ${client.waitForReply(question, 5_000).text} F`);
}

export const run = command(([url = "mqtt://localhost"]) => {
  using client = connect(url, { keepAliveSeconds: 30 });
  client.subscribe(`${TOPIC}/#`, { qos: 1 });
  measure(client);
  beRefused(client);
  convert(client);
});
