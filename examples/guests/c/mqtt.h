// A little comfort for the bindings of the interface mqtt-wasi:client/mqtt: strings of C in, `%.*s` out, and words for
// failures. Copy this file into your program.
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imports_bulk.h"

typedef imports_bulk_string_t mqtt_string_t;

// Two arguments for `%.*s`. Strings of the interface have a length, and no NUL at their end.
#define MQTT_SHOW(string) (int)(string).len, (const char *)(string).ptr

static inline mqtt_string_t mqtt_string(const char *words) { return (mqtt_string_t){(uint8_t *)words, strlen(words)}; }

static inline mqtt_payload_t mqtt_text(const char *words) {
  return (mqtt_payload_t){MQTT_PAYLOAD_TEXT, {mqtt_string(words)}};
}

static inline mqtt_payload_t mqtt_bytes(const void *bytes, size_t len) {
  return (mqtt_payload_t){MQTT_PAYLOAD_BYTES, {.bytes = {(uint8_t *)bytes, len}}};
}

static inline mqtt_property_t mqtt_content_type(const char *type) {
  return (mqtt_property_t){MQTT_PROPERTY_CONTENT_TYPE, {.content_type = mqtt_string(type)}};
}

static inline mqtt_property_t mqtt_user_property(const char *name, const char *value) {
  return (mqtt_property_t){MQTT_PROPERTY_USER_PROPERTY, {.user_property = {mqtt_string(name), mqtt_string(value)}}};
}

// A message of text, which is not retained.
static inline mqtt_publication_t mqtt_publication(const char *topic, const char *text, mqtt_qos_t qos) {
  return (mqtt_publication_t){.topic = mqtt_string(topic), .payload = mqtt_text(text), .qos = qos};
}

// What a payload is, text or bytes.
static inline mqtt_string_t mqtt_words(const mqtt_payload_t *payload) {
  if (payload->tag == MQTT_PAYLOAD_TEXT) return payload->val.text;
  return (mqtt_string_t){payload->val.bytes.ptr, payload->val.bytes.len};
}

// The value of the first User Property with this name, or an empty string.
static inline mqtt_string_t mqtt_find_user_property(const mqtt_message_t *message, const char *name) {
  for (size_t i = 0; message->properties.is_some && i < message->properties.val.len; i++) {
    const mqtt_property_t *property = &message->properties.val.ptr[i];
    const mqtt_user_property_t *pair = &property->val.user_property;
    if (property->tag != MQTT_PROPERTY_USER_PROPERTY || pair->f0.len != strlen(name)) continue;
    if (memcmp(pair->f0.ptr, name, pair->f0.len) == 0) return pair->f1;
  }
  return mqtt_string("");
}

// What a failure means for the program.
static inline const char *mqtt_kind(const mqtt_failure_t *failure) {
  static const char *const kinds[] = {"wrong-call",      "try-later",   "timed-out",      "refused",
                                      "connection-over", "not-trusted", "protocol-broken"};
  return kinds[failure->kind];
}

// A line about a failure: its kind, name and Reason Code, and words that have the broker's reasons.
static inline void mqtt_print_failure(FILE *file, const mqtt_failure_t *failure) {
  fprintf(file, "%s %.*s %d: %.*s\n", mqtt_kind(failure), MQTT_SHOW(failure->name),
          failure->code.is_some ? failure->code.val : 0, MQTT_SHOW(failure->message));
}

// Where calls leave why they failed, if this is given to them.
static mqtt_failure_t mqtt_failure;

// Ends the program, with the words of `mqtt_failure`, unless a call succeeded.
static inline void mqtt_check(bool succeeded) {
  if (succeeded) return;
  mqtt_print_failure(stderr, &mqtt_failure);
  exit(EXIT_FAILURE);
}

// Publishes a message, or ends the program.
static inline void mqtt_publish(mqtt_borrow_client_t client, mqtt_publication_t *message) {
  mqtt_publish_answer_t answer;
  mqtt_check(mqtt_method_client_publish_message(client, message, &answer, &mqtt_failure));
  mqtt_publish_answer_free(&answer);
}
