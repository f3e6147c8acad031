// Publishes 64 bytes at QoS 0, as often as the last argument says: one by one, or in batches.
#include "mqtt.h"

enum { BATCH = 1000 };

int main(int argc, char **argv) {
  mqtt_string_t url = mqtt_string(argv[1]);
  mqtt_own_client_t own;
  mqtt_check(mqtt_connect(&url, NULL, &own, &mqtt_failure));
  mqtt_borrow_client_t client = mqtt_borrow_client(own);
  char payload[65] = {0};
  memset(payload, 'x', 64);
  mqtt_publication_t message = mqtt_publication("mqtt-wasi/guest/rate", payload, MQTT_QOS_AT_MOST_ONCE);
  static mqtt_publication_t batch[BATCH];
  for (size_t i = 0; i < BATCH; i++) batch[i] = message;
  long left = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
  for (; strcmp(argv[2], "batches") == 0 && left >= BATCH; left -= BATCH) {
    mqtt_list_publication_t messages = {batch, BATCH};
    mqtt_list_result_reason_code_failure_t results;
    mqtt_method_client_publish_batch(client, &messages, &results);
    mqtt_list_result_reason_code_failure_free(&results);
  }
  mqtt_reason_code_t code;
  for (; left > 0; left--) {
    mqtt_check(mqtt_method_client_publish(client, &message.topic, &message.payload, message.qos, false, &code,
                                          &mqtt_failure));
  }
  mqtt_check(mqtt_method_client_disconnect(client, NULL, &mqtt_failure));
}
