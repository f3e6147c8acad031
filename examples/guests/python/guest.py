import sys

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import environment
from wit_world.imports.mqtt import (
    Payload_Text,
    Property_ContentType,
    Property_UserProperty,
    Publication,
    Qos,
    connect,
)

TOPIC = "mqtt-wasi/guest/python"


def talk(client):
    client.subscribe(f"{TOPIC}/#", Qos.AT_LEAST_ONCE)

    properties = [Property_ContentType("text/plain"), Property_UserProperty(("language", "Python"))]
    client.publish_message(Publication(TOPIC, Payload_Text("hello"), Qos.AT_LEAST_ONCE, False, properties))
    message = client.receive(5_000)
    print(f"received {message.topic}: {message.payload.value}")
    for each in message.properties or []:
        match each:
            case Property_ContentType(value):
                print(f"content-type: {value}")
            case Property_UserProperty((name, value)):
                print(f"user-property: {name}={value}")

    try:
        client.publish("a/#", Payload_Text("hello"), Qos.AT_LEAST_ONCE, False)
    except Err as error:
        print(f"refused: {words(error.value)}")

    square = Publication(f"{TOPIC}/square", Payload_Text("2"), Qos.AT_LEAST_ONCE, False, [])
    question = client.start_request(square, 5_000)
    request = client.next_request(5_000)
    client.reply(request.id, Payload_Text(str(int(request.message.payload.value) ** 2)))
    reply = client.wait_for_reply(question, 5_000)
    print(f"reply: {reply.payload.value}")


def words(failure):
    return f"{failure.kind.name.lower().replace('_', '-')} {failure.name}: {failure.message}"


class Run(exports.Run):
    def run(self):
        try:
            with connect(environment.get_arguments()[1], None) as client:
                talk(client)
                client.disconnect(None)
        except Err as error:
            # An Err that leaves this function ends the program without a word.
            print(f"failed: {words(error.value)}", file=sys.stderr)
            raise
