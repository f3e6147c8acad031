"""Receives what it publishes, shows a refusal, and answers a request: ``python first.py mqtt://localhost``."""

import sys
import threading

import mqtt_wasi

url = sys.argv[1] if len(sys.argv) > 1 else "mqtt://localhost"

with mqtt_wasi.connect(url, keep_alive_seconds=30) as client, mqtt_wasi.connect(url) as server:
    client.subscribe("sensors/+", qos=1)
    client.publish("sensors/kitchen", "21.5", qos=1, user_properties={"unit": "celsius"})
    for message in client:
        print(f"{message.topic}: {message.text}")
        break

    try:
        client.publish("sensors/+", "21.5")
    except mqtt_wasi.MqttError as error:
        # `str(error)` tells it in words.
        print(f"refused: {error.kind} {error.name}")

    def serve():
        for request in server.requests():
            server.reply(request, str(sum(request.message.json())))

    server.subscribe("sum")
    threading.Thread(target=serve).start()
    print("reply:", client.request("sum", "[1, 2, 3]").text)
