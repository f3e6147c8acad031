import { connect } from "mqtt-wasi:client/mqtt@0.1.0";
import { getArguments } from "wasi:cli/environment@0.2.0";
import { print, words } from "./print.js";

const TOPIC = "mqtt-wasi/guest/javascript";

const text = (val) => ({ tag: "text", val });

function talk(client) {
  client.subscribe(`${TOPIC}/#`, "at-least-once");

  const properties = [
    { tag: "content-type", val: "text/plain" },
    { tag: "user-property", val: ["language", "JavaScript"] },
  ];
  client.publishMessage({ topic: TOPIC, payload: text("hello"), qos: "at-least-once", retain: false, properties });
  const message = client.receive(5_000);
  print(`received ${message.topic}: ${message.payload.val}`);
  for (const { tag, val } of message.properties ?? []) {
    print(`${tag}: ${tag === "user-property" ? val.join("=") : val}`);
  }

  try {
    client.publish("a/#", text("hello"), "at-least-once", false);
  } catch (error) {
    print(`refused: ${words(error)}`);
  }

  const square = { topic: `${TOPIC}/square`, payload: text("2"), qos: "at-least-once", retain: false, properties: [] };
  const question = client.startRequest(square, 5_000);
  const request = client.nextRequest(5_000);
  client.reply(request.id, text(`${request.message.payload.val ** 2}`));
  const reply = client.waitForReply(question, 5_000);
  print(`reply: ${reply.payload.val}`);
}

export const run = {
  run() {
    try {
      // QuickJS counts the arguments: what is left out has to be said.
      const client = connect(getArguments()[1], undefined);
      talk(client);
      client.disconnect(undefined);
    } catch (error) {
      // What is thrown from here ends the program without a word.
      print(`failed: ${words(error)}`);
      throw error;
    }
  },
};
