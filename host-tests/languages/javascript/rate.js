// Publishes 64 bytes at QoS 0, as often as the last argument says: one by one, or in batches.
import { command } from "./command.js";
import { connect } from "./mqtt.js";

const message = { topic: "mqtt-wasi/guest/rate", payload: "x".repeat(64) };
const BATCH = 1_000;

export const run = command(([url, how, times]) => {
  using client = connect(url);
  let left = Number(times);
  if (how === "batches") {
    for (; left >= BATCH; left -= BATCH) client.publishBatch(Array(BATCH).fill(message));
  }
  for (; left > 0; left--) client.publish(message.topic, message.payload);
});
