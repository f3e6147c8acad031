#include "mqtt.h"

#define TOPIC "mqtt-wasi/guest/c"
enum { TIMEOUT_MS = 5000 };

static void measure(mqtt_borrow_client_t client) {
  mqtt_property_t properties[] = {mqtt_content_type("text/plain"), mqtt_user_property("unit", "C")};
  mqtt_publication_t reading = mqtt_publication(TOPIC "/kitchen", "21.5", MQTT_QOS_AT_LEAST_ONCE);
  reading.properties = (mqtt_list_property_t){properties, 2};
  mqtt_publish(client, &reading);
  mqtt_option_message_t received;
  mqtt_check(mqtt_method_client_receive(client, TIMEOUT_MS, &received, &mqtt_failure));
  if (!received.is_some) return;
  printf("%.*s: %.*s %.*s\n", MQTT_SHOW(received.val.topic), MQTT_SHOW(mqtt_words(&received.val.payload)),
         MQTT_SHOW(mqtt_find_user_property(&received.val, "unit")));
  mqtt_option_message_free(&received);
}

static void be_refused(mqtt_borrow_client_t client) {
  // Only the broker itself may publish there.
  mqtt_publication_t uptime = mqtt_publication("$SYS/broker/uptime", "0", MQTT_QOS_AT_LEAST_ONCE);
  mqtt_publish_answer_t answer;
  if (mqtt_method_client_publish_message(client, &uptime, &answer, &mqtt_failure)) return;
  mqtt_print_failure(stdout, &mqtt_failure);
  mqtt_failure_free(&mqtt_failure);
}

// Asks for a conversion, and answers, which another client would do otherwise.
static void convert(mqtt_borrow_client_t client) {
  mqtt_publication_t question = mqtt_publication(TOPIC "/to-fahrenheit", "21.5", MQTT_QOS_AT_LEAST_ONCE);
  uint64_t number;
  mqtt_check(mqtt_method_client_start_request(client, &question, TIMEOUT_MS, &number, &mqtt_failure));
  mqtt_option_incoming_request_t request;
  mqtt_check(mqtt_method_client_next_request(client, TIMEOUT_MS, &request, &mqtt_failure));
  if (!request.is_some) return;
  char text[32];
  snprintf(text, sizeof text, "%.*s", MQTT_SHOW(mqtt_words(&request.val.message.payload)));
  snprintf(text, sizeof text, "%g", strtod(text, NULL) * 9 / 5 + 32);
  mqtt_payload_t fahrenheit = mqtt_text(text);
  mqtt_check(mqtt_method_client_reply(client, request.val.id, &fahrenheit, &mqtt_failure));
  mqtt_option_incoming_request_free(&request);
  mqtt_option_message_t reply;
  mqtt_check(mqtt_method_client_wait_for_reply(client, number, TIMEOUT_MS, &reply, &mqtt_failure));
  if (reply.is_some) printf("21.5 C are %.*s F\n", MQTT_SHOW(mqtt_words(&reply.val.payload)));
  mqtt_option_message_free(&reply);
}

int main(int argc, char **argv) {
  mqtt_string_t url = mqtt_string(argc > 1 ? argv[1] : "mqtt://localhost"), filter = mqtt_string(TOPIC "/#");
  mqtt_own_client_t own;
  mqtt_check(mqtt_connect(&url, NULL, &own, &mqtt_failure));
  mqtt_borrow_client_t client = mqtt_borrow_client(own);
  mqtt_qos_t granted;
  mqtt_check(mqtt_method_client_subscribe(client, &filter, MQTT_QOS_AT_LEAST_ONCE, &granted, &mqtt_failure));
  measure(client);
  be_refused(client);
  convert(client);
  mqtt_check(mqtt_method_client_disconnect(client, NULL, &mqtt_failure));
  mqtt_client_drop_own(own);
}
