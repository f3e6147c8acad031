#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"
#include "imports_bulk.h"

#define TOPIC "mqtt-wasi/guest/packed"
#define SHOW(string) (int)(string).len, (const char *)(string).ptr

static mqtt_failure_t failure;
static imports_bulk_string_t string(const char *text) { return (imports_bulk_string_t){(uint8_t *)text, strlen(text)}; }
static bulk_bytes_t bytes(const char *text) { return (bulk_bytes_t){(const uint8_t *)text, strlen(text)}; }

static void check(bool succeeded) {
  if (succeeded) return;
  printf("failed: %.*s: %.*s\n", SHOW(failure.name), SHOW(failure.message));
  exit(1);
}

int main(int argc, char **argv) {
  imports_bulk_string_t url = string(argv[argc - 1]), everything = string(TOPIC "/#");
  mqtt_own_connect_options_t options = mqtt_constructor_connect_options();
  mqtt_borrow_connect_options_t by_hand = mqtt_borrow_connect_options(options);
  mqtt_method_connect_options_set_acknowledge_by_hand(by_hand, true);
  mqtt_own_client_t own;
  check(mqtt_connect(&url, &by_hand, &own, &failure));
  mqtt_borrow_client_t client = mqtt_borrow_client(own);
  mqtt_qos_t granted;
  check(mqtt_method_client_subscribe(client, &everything, MQTT_QOS_EXACTLY_ONCE, &granted, &failure));

  static const uint8_t zeros[1000], language[] = "\x26\x00\x08language\x00\x01" "C";
  bulk_message_t messages[] = {
      {.topic = bytes(TOPIC "/text"), .payload = bytes("hello"), .properties = bulk_text, .qos = 1},
      {.topic = bytes(TOPIC "/bytes"), .payload = {(const uint8_t[]){0, 127, 255}, 3}},
      {.topic = bytes(TOPIC), .payload = {zeros, 1000}, .properties = {language, sizeof language - 1}, .qos = 2},
  };
  size_t most = 0;
  for (size_t i = 0; i < 3; i++) most += bulk_words(&messages[i]);
  imports_bulk_list_u64_t frames = {malloc(8 * most), 0};
  for (size_t i = 0; i < 3; i++) frames.len = bulk_push(frames.ptr, frames.len, &messages[i]);
  bulk_list_unpublished_t unpublished;
  check(bulk_publish_packed(client, &frames, &unpublished, &failure));
  for (size_t i = 0; i < unpublished.len; i++)
    printf("%u: %.*s\n", unpublished.ptr[i].index, SHOW(unpublished.ptr[i].failure.message));
  imports_bulk_list_u64_free(&frames);
  for (size_t received = 0; received < 3;) {
    check(bulk_receive_packed(client, 100, 1000000, 5000, &frames, &failure));
    const uint64_t *at = frames.ptr;
    bulk_message_t message;
    while (bulk_next(&at, frames.ptr + frames.len, &message)) {
      bool done = message.has_delivery && mqtt_method_client_acknowledge(client, message.delivery);
      printf("%.*s %u %zu %u ", SHOW(message.topic), message.qos, message.payload.len, message.payload.ptr[0]);
      puts(done ? "true" : "false");
      bulk_bytes_t name, value;
      while (bulk_next_user_property(&message.properties, &name, &value))
        printf("user-property: %.*s=%.*s\n", SHOW(name), SHOW(value));
      received++;
    }
    imports_bulk_list_u64_free(&frames);
  }
  check(mqtt_method_client_disconnect(client, NULL, &failure));
}
