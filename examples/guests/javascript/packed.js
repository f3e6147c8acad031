import { ConnectOptions, connect } from "mqtt-wasi:client/mqtt@0.1.0";
import { publishPacked, receivePacked } from "mqtt-wasi:client/bulk@0.1.0";
import { getArguments } from "wasi:cli/environment@0.2.0";
import { pack, unpack, userProperties } from "./bulk.js";
import { print, words } from "./print.js";

const TOPIC = "mqtt-wasi/guest/packed";

// A User Property as MQTT has it.
const LANGUAGE = new TextEncoder().encode("\x26\0\x08language\0\x0aJavaScript");

function talk(client) {
  client.subscribe(`${TOPIC}/#`, "exactly-once");
  const frames = pack([
    { topic: `${TOPIC}/text`, payload: "hello", qos: "at-least-once", retain: false },
    { topic: `${TOPIC}/bytes`, payload: Uint8Array.of(0, 127, 255), qos: "at-most-once", retain: false },
    { topic: TOPIC, payload: new Uint8Array(1_000), qos: "exactly-once", retain: false, properties: LANGUAGE },
  ]);
  for (const { index, failure } of publishPacked(client, frames)) print(`${index}: ${failure.message}`);

  for (let received = 0; received < 3; ) {
    for (const { topic, payload, qos, delivery, properties } of unpack(receivePacked(client, 100, 1_000_000, 5_000))) {
      const acknowledged = delivery !== undefined && client.acknowledge(delivery);
      print(`${topic} ${qos} ${payload.length} ${payload[0]} ${acknowledged}`);
      for (const pair of userProperties(properties)) print(`user-property: ${pair.join("=")}`);
      received += 1;
    }
  }
}

export const run = {
  run() {
    try {
      const options = new ConnectOptions();
      options.setAcknowledgeByHand(true);
      const client = connect(getArguments()[1], options);
      talk(client);
      client.disconnect();
    } catch (error) {
      print(`failed: ${words(error)}`);
      throw error;
    }
  },
};
