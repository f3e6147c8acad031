import { connect } from "mqtt-wasi:client/mqtt@0.1.0";
import { command } from "./command.js";

// Nothing of what the calls return or throw is disposed of by hand: the collector has to keep up.

const TOPIC = "mqtt-wasi/guest/stress";
const WINDOW = 100;

const text = (val) => ({ tag: "text", val });

function fail(client, times) {
  let failed = 0;
  for (let i = 0; i < times; i++) {
    try {
      client.publish("a/#", text(`${i}`), "at-most-once", false);
    } catch (error) {
      if (error.payload.name === "invalid-argument") failed += 1;
    }
  }
  return failed;
}

// Each request asks for the double of its number, and the same client answers.
function ask(client, times) {
  let sum = 0;
  for (let from = 0; from < times; from += WINDOW) {
    const questions = [];
    for (let i = from; i < Math.min(from + WINDOW, times); i++) {
      const properties = [{ tag: "user-property", val: ["number", `${i}`] }];
      const message = { topic: TOPIC, payload: text(`${i}`), qos: "at-most-once", retain: false, properties };
      questions.push(client.startRequest(message, 30_000));
    }
    for (const _ of questions) {
      const request = client.nextRequest(30_000);
      client.reply(request.id, text(`${2 * Number(request.message.payload.val)}`));
    }
    for (const question of questions) sum += Number(client.waitForReply(question, 30_000).payload.val);
  }
  return sum;
}

export const run = command(([url, number]) => {
  const client = connect(url, undefined);
  client.subscribe(TOPIC, "at-most-once");
  console.log(`failed: ${fail(client, Number(number))}`);
  console.log(`sum: ${ask(client, Number(number))}`);
  client.disconnect(undefined);
});
