from command import command
from mqtt import Client, MqttError, connect

TOPIC = "mqtt-wasi/guest/python"


def measure(client: Client) -> None:
    client.publish(f"{TOPIC}/kitchen", "21.5", qos=1, content_type="text/plain", user_properties={"unit": "C"})
    for message in client.messages(timeout=5):
        print(f"{message.topic}: {message.text} {message.user_property('unit')}")
        break


def be_refused(client: Client) -> None:
    try:
        # Only the broker itself may publish there.
        client.publish("$SYS/broker/uptime", "0", qos=1)
    except MqttError as error:
        print(f"{error.kind} {error.name} {error.reason_code}: {error}")


def convert(client: Client) -> None:
    """Asks for a conversion, and answers, which another client would do otherwise."""
    question = client.start_request(f"{TOPIC}/to-fahrenheit", "21.5", timeout=5)
    for request in client.requests(timeout=5):
        client.reply(request, str(float(request.message.text) * 9 / 5 + 32))
        break
    print(f"21.5 C are {client.wait_for_reply(question, timeout=5).text} F")


def main(args: list[str]) -> None:
    url = args[0] if args else "mqtt://localhost"
    with connect(url, keep_alive_seconds=30) as client:
        client.subscribe(f"{TOPIC}/#", qos=1)
        measure(client)
        be_refused(client)
        convert(client)


Run = command(main)
