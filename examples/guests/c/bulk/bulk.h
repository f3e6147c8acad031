// Messages in lists of 64-bit words, for the interface `mqtt-wasi:client/bulk`: see wit/bulk.wit for the frames.
// WebAssembly is little-endian, so words are their bytes.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const uint8_t *ptr;
  size_t len;
} bulk_bytes_t;

typedef struct {
  bulk_bytes_t topic, payload, properties;  // Properties are as MQTT has them, without their length.
  uint8_t qos;
  bool retain, duplicate, has_delivery;
  uint64_t delivery;  // For `acknowledge`. Not for messages to publish.
} bulk_message_t;

// The properties of a message whose payload is UTF-8.
static const bulk_bytes_t bulk_text = {(const uint8_t[]){1, 1}, 2};

static inline bulk_bytes_t bulk_cut(const uint8_t **at, size_t len) {
  *at += len;
  return (bulk_bytes_t){*at - len, len};
}
static inline bulk_bytes_t bulk_cut_string(const uint8_t **at) {
  *at += 2;
  return bulk_cut(at, (size_t)(*at)[-2] << 8 | (*at)[-1]);
}
static inline size_t bulk_cut_number(const uint8_t **at) {
  uint8_t byte = *(*at)++;
  return byte < 128 ? byte : (byte & 127) | bulk_cut_number(at) << 7;
}
static inline uint8_t *bulk_put(uint8_t *at, bulk_bytes_t bytes) {
  return bytes.len ? (uint8_t *)memcpy(at, bytes.ptr, bytes.len) + bytes.len : at;
}

// The most words that `bulk_push` writes for this message.
static inline size_t bulk_words(const bulk_message_t *message) {
  return 4 + (2 + message->topic.len + 4 + message->properties.len) / 8 + message->payload.len / 8;
}

// Writes a message to publish behind `len` words, and returns how many there are then.
static inline size_t bulk_push(uint64_t *words, size_t len, const bulk_message_t *message) {
  uint8_t *head = (uint8_t *)&words[len + 2];
  uint8_t *at = bulk_put(head, (bulk_bytes_t){(uint8_t[]){message->topic.len >> 8, message->topic.len}, 2});
  at = bulk_put(at, message->topic);
  size_t left = message->properties.len;
  for (; left > 127; left >>= 7) *at++ = (uint8_t)(left | 128);
  *at++ = (uint8_t)left;
  at = bulk_put(at, message->properties);
  words[len] = message->payload.len | (uint64_t)(message->qos << 1 | message->retain) << 32;
  words[len + 1] = (uint64_t)(at - head);
  while ((at - head) % 8) *at++ = 0;
  at = bulk_put(at, message->payload);
  while ((at - head) % 8) *at++ = 0;
  return len + 2 + (at - head) / 8;
}

// Takes the next message off a list that was received. It points into the list. False at the end.
static inline bool bulk_next(const uint64_t **words, const uint64_t *end, bulk_message_t *message) {
  if (*words == end) return false;
  uint64_t first = *(*words)++, head_len = *(*words)++;
  *message = (bulk_message_t){.retain = first >> 32 & 1, .qos = first >> 33 & 3, .duplicate = first >> 35 & 1};
  if ((message->has_delivery = first >> 36 & 1)) message->delivery = *(*words)++;
  const uint8_t *at = (const uint8_t *)*words;
  *words += (head_len + 7) / 8;
  message->topic = bulk_cut_string(&at);
  size_t length = bulk_cut_number(&at);
  message->properties = bulk_cut(&at, length);
  message->payload = (bulk_bytes_t){(const uint8_t *)*words, (uint32_t)first};
  *words += ((uint32_t)first + 7) / 8;
  return true;
}

// Takes the next User Property off the properties of a message. False when there are no more.
static inline bool bulk_next_user_property(bulk_bytes_t *properties, bulk_bytes_t *name, bulk_bytes_t *value) {
  const uint8_t *at = properties->ptr, *end = at + properties->len;
  uint8_t identifier = 0;
  while (at < end && identifier != 0x26) switch (identifier = *at++) {
    case 0x26: *name = bulk_cut_string(&at), *value = bulk_cut_string(&at); break;
    case 0x01: at += 1; break;                // Payload Format Indicator
    case 0x02: at += 4; break;                // Message Expiry Interval
    case 0x23: at += 2; break;                // Topic Alias
    case 0x0b: bulk_cut_number(&at); break;   // Subscription Identifier
    default: bulk_cut_string(&at);
  }
  *properties = (bulk_bytes_t){at, end - at};
  return identifier == 0x26;
}
