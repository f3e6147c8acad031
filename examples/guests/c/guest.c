#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imports.h"

#define TOPIC "mqtt-wasi/guest/c"
#define SHOW(string) (int)(string).len, (const char *)(string).ptr

static const char *const kinds[] = {"wrong-call",      "try-later",   "timed-out",      "refused",
                                    "connection-over", "not-trusted", "protocol-broken"};
static mqtt_failure_t failure;
static imports_string_t string(const char *words) { return (imports_string_t){(uint8_t *)words, strlen(words)}; }
static mqtt_payload_t text(const char *words) { return (mqtt_payload_t){MQTT_PAYLOAD_TEXT, {string(words)}}; }

// Ends the program unless a call succeeded. Nothing that calls return is freed here: this program ends soon.
static void check(bool succeeded) {
  if (succeeded) return;
  printf("failed: %.*s: %.*s\n", SHOW(failure.name), SHOW(failure.message));
  exit(1);
}

int main(int argc, char **argv) {
  imports_string_t url = string(argv[argc - 1]), everything = string(TOPIC "/#"), wrong = string("a/#");
  mqtt_own_client_t own;
  check(mqtt_connect(&url, NULL, &own, &failure));
  mqtt_borrow_client_t client = mqtt_borrow_client(own);
  mqtt_qos_t granted;
  check(mqtt_method_client_subscribe(client, &everything, MQTT_QOS_AT_LEAST_ONCE, &granted, &failure));
  mqtt_property_t kind = {MQTT_PROPERTY_CONTENT_TYPE, {.content_type = string("text/plain")}};
  mqtt_property_t language = {MQTT_PROPERTY_USER_PROPERTY, {.user_property = {string("language"), string("C")}}};
  mqtt_list_property_t properties = {(mqtt_property_t[]){kind, language}, 2};
  mqtt_publication_t hello = {string(TOPIC), text("hello"), MQTT_QOS_AT_LEAST_ONCE, false, properties};
  mqtt_publish_answer_t answer;
  check(mqtt_method_client_publish_message(client, &hello, &answer, &failure));
  mqtt_option_message_t received;
  check(mqtt_method_client_receive(client, 5000, &received, &failure));
  printf("received %.*s: %.*s\n", SHOW(received.val.topic), SHOW(received.val.payload.val.text));
  for (size_t i = 0; received.val.properties.is_some && i < received.val.properties.val.len; i++) {
    mqtt_property_t *property = &received.val.properties.val.ptr[i];
    mqtt_user_property_t *user = &property->val.user_property;
    if (property->tag == MQTT_PROPERTY_CONTENT_TYPE) printf("content-type: %.*s\n", SHOW(property->val.content_type));
    if (property->tag != MQTT_PROPERTY_USER_PROPERTY) continue;
    printf("user-property: %.*s=%.*s\n", SHOW(user->f0), SHOW(user->f1));
  }

  mqtt_reason_code_t code;
  if (!mqtt_method_client_publish(client, &wrong, &hello.payload, MQTT_QOS_AT_LEAST_ONCE, false, &code, &failure))
    printf("refused: %s %.*s: %.*s\n", kinds[failure.kind], SHOW(failure.name), SHOW(failure.message));
  mqtt_publication_t square = {string(TOPIC "/square"), text("2"), MQTT_QOS_AT_LEAST_ONCE, false, {NULL, 0}};
  uint64_t question;
  mqtt_option_incoming_request_t request;
  check(mqtt_method_client_start_request(client, &square, 5000, &question, &failure));
  check(mqtt_method_client_next_request(client, 5000, &request, &failure));
  int number = request.val.message.payload.val.text.ptr[0] - '0';
  mqtt_payload_t product = text((char[]){'0' + number * number, 0});
  check(mqtt_method_client_reply(client, request.val.id, &product, &failure));
  check(mqtt_method_client_wait_for_reply(client, question, 5000, &received, &failure));
  printf("reply: %.*s\n", SHOW(received.val.payload.val.text));
  check(mqtt_method_client_disconnect(client, NULL, &failure));
}
