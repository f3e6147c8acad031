// Messages in lists of 64-bit words, for the interface `mqtt-wasi:client/bulk`: see wit/bulk.wit for the frames.

const QOS = ["at-most-once", "at-least-once", "exactly-once"];
const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];

// Packs messages to publish: { topic, payload, qos, retain, properties }. The payload is a string or a Uint8Array.
// Properties are bytes as MQTT has them, and may be left out.
export function pack(messages) {
  const frames = messages.map(({ topic, payload, qos, retain, properties = [] }) => {
    const isText = typeof payload === "string";
    const [name, data] = [encoder.encode(topic), isText ? encoder.encode(payload) : payload];
    const all = isText ? [1, 1, ...properties] : properties; // A Payload Format Indicator of 1 says that it is UTF-8.
    const parts = [[name.length >> 8, name.length & 255], name, toNumber(all.length), all];
    const head = parts.reduce((sum, part) => sum + part.length, 0);
    return { parts, head, data, flags: (QOS.indexOf(qos) << 1) | retain };
  });
  const size = ({ head, data }) => 2 + Math.ceil(head / 8) + Math.ceil(data.length / 8);
  const words = new BigUint64Array(frames.reduce((sum, frame) => sum + size(frame), 0));
  const bytes = new Uint8Array(words.buffer);
  let start = 0;
  for (const frame of frames) {
    words[start] = BigInt(frame.data.length) | (BigInt(frame.flags) << 32n);
    words[start + 1] = BigInt(frame.head);
    let at = (start + 2) * 8;
    for (const part of frame.parts) {
      bytes.set(part, at);
      at += part.length;
    }
    bytes.set(frame.data, Math.ceil(at / 8) * 8);
    start += size(frame);
  }
  return words;
}

// The messages in a list that was received. Payload and properties are parts of the list, not copies.
export function* unpack(words) {
  const view = new DataView(words.buffer, words.byteOffset, words.byteLength);
  const bytes = (from, to) => new Uint8Array(words.buffer, words.byteOffset + from, to - from);
  for (let at = 0, end; at < view.byteLength; at = Math.ceil(end / 8) * 8) {
    const [length, flags] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    const body = at + (flags & 16 ? 24 : 16);
    const payload = Math.ceil((body + view.getUint32(at + 8, true)) / 8) * 8;
    end = payload + length;
    const topicEnd = body + 2 + view.getUint16(body);
    const [propertyLength, start] = readNumber(view, topicEnd);
    yield {
      topic: decoder.decode(bytes(body + 2, topicEnd)),
      payload: bytes(payload, end),
      qos: QOS[(flags >> 1) & 3],
      retain: (flags & 1) !== 0,
      duplicate: (flags & 8) !== 0,
      delivery: flags & 16 ? view.getBigUint64(at + 16, true) : undefined,
      properties: bytes(start, start + propertyLength),
    };
  }
}

// The User Properties among the properties of a message, as [name, value].
export function* userProperties(properties) {
  const view = new DataView(properties.buffer, properties.byteOffset, properties.byteLength);
  const string = (at) => properties.subarray(at + 2, at + 2 + view.getUint16(at));
  for (let at = 0; at < properties.length; ) {
    const identifier = properties[at++];
    if (identifier === 0x0b) {
      at = readNumber(view, at)[1];
    } else if (identifier === 0x26) {
      const name = string(at);
      const value = string(at + 2 + name.length);
      yield [decoder.decode(name), decoder.decode(value)];
      at += 4 + name.length + value.length;
    } else {
      // Payload Format Indicator, Message Expiry Interval, Topic Alias. The others have their length before them.
      at += { 0x01: 1, 0x02: 4, 0x23: 2 }[identifier] ?? 2 + view.getUint16(at);
    }
  }
}

const toNumber = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...toNumber(value >> 7)]);
function readNumber(view, at, shift = 0) {
  const byte = view.getUint8(at);
  if (byte < 128) return [byte << shift, at + 1];
  const [rest, end] = readNumber(view, at + 1, shift + 7);
  return [((byte & 127) << shift) | rest, end];
}
