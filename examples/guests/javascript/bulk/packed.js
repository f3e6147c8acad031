import { command } from "../command.js";
import { attempt, connect } from "../mqtt.js";
import { publishPacked, receivePacked } from "mqtt-wasi:client/bulk@0.1.0";
import { pack, unpack, userProperties } from "./bulk.js";

const TOPIC = "mqtt-wasi/guest/packed";

// A User Property as MQTT has it.
const LANGUAGE = new TextEncoder().encode("\x26\0\x08language\0\x0aJavaScript");

function publish(client) {
  const frames = pack([
    { topic: `${TOPIC}/text`, payload: "hello", qos: "at-least-once", retain: false },
    { topic: `${TOPIC}/bytes`, payload: Uint8Array.of(0, 127, 255), qos: "at-most-once", retain: false },
    { topic: TOPIC, payload: new Uint8Array(1_000), qos: "exactly-once", retain: false, properties: LANGUAGE },
  ]);
  const unpublished = attempt(() => publishPacked(client.raw, frames));
  for (const { index, failure } of unpublished) console.log(`${index}: ${failure.message}`);
}

function receive(client, messages) {
  while (messages > 0) {
    const frames = attempt(() => receivePacked(client.raw, 100, 1_000_000, 5_000));
    for (const { topic, payload, qos, delivery, properties } of unpack(frames)) {
      console.log(`${topic} ${qos} ${payload.length} ${payload[0]} ${client.acknowledge({ delivery })}`);
      for (const pair of userProperties(properties)) console.log(`user-property: ${pair.join("=")}`);
      messages -= 1;
    }
  }
}

export const run = command(([url]) => {
  using client = connect(url, { acknowledgeByHand: true });
  client.subscribe(`${TOPIC}/#`, { qos: 2 });
  publish(client);
  receive(client, 3);
});
