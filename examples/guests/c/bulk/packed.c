#include "bulk.h"
#include "mqtt.h"

#define TOPIC "mqtt-wasi/guest/packed"

static bulk_bytes_t bytes(const char *text) { return (bulk_bytes_t){(const uint8_t *)text, strlen(text)}; }

int main(int argc, char **argv) {
  mqtt_string_t url = mqtt_string(argv[argc - 1]), everything = mqtt_string(TOPIC "/#");
  mqtt_own_connect_options_t options = mqtt_constructor_connect_options();
  mqtt_borrow_connect_options_t by_hand = mqtt_borrow_connect_options(options);
  mqtt_method_connect_options_set_acknowledge_by_hand(by_hand, true);
  mqtt_own_client_t own;
  mqtt_check(mqtt_connect(&url, &by_hand, &own, &mqtt_failure));
  mqtt_borrow_client_t client = mqtt_borrow_client(own);
  mqtt_qos_t granted;
  mqtt_check(mqtt_method_client_subscribe(client, &everything, MQTT_QOS_EXACTLY_ONCE, &granted, &mqtt_failure));

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
  mqtt_check(bulk_publish_packed(client, &frames, &unpublished, &mqtt_failure));
  for (size_t i = 0; i < unpublished.len; i++)
    printf("%u: %.*s\n", unpublished.ptr[i].index, MQTT_SHOW(unpublished.ptr[i].failure.message));
  imports_bulk_list_u64_free(&frames);
  for (size_t received = 0; received < 3;) {
    mqtt_check(bulk_receive_packed(client, 100, 1000000, 5000, &frames, &mqtt_failure));
    const uint64_t *at = frames.ptr;
    bulk_message_t message;
    while (bulk_next(&at, frames.ptr + frames.len, &message)) {
      bool done = message.has_delivery && mqtt_method_client_acknowledge(client, message.delivery);
      printf("%.*s %u %zu %u ", MQTT_SHOW(message.topic), message.qos, message.payload.len, message.payload.ptr[0]);
      puts(done ? "true" : "false");
      bulk_bytes_t name, value;
      while (bulk_next_user_property(&message.properties, &name, &value))
        printf("user-property: %.*s=%.*s\n", MQTT_SHOW(name), MQTT_SHOW(value));
      received++;
    }
    imports_bulk_list_u64_free(&frames);
  }
  mqtt_check(mqtt_method_client_disconnect(client, NULL, &mqtt_failure));
}
