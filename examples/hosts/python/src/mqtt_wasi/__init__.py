"""An MQTT v5.0 client: the component ``mqtt.wasm``, with Python's sockets.

>>> import mqtt_wasi
>>> with mqtt_wasi.connect("mqtt://localhost") as client:  # doctest: +SKIP
...     client.subscribe("sensors/+", qos=1)
...     client.publish("sensors/kitchen", "21.5", qos=1)
...     for message in client:
...         print(message.topic, message.text)
"""

from ._client import Client, connect, start
from ._error import MqttError
from ._message import Message, Publication, Request
from ._options import Options

__all__ = ["Client", "Message", "MqttError", "Options", "Publication", "Request", "connect", "start"]
__version__ = "0.3.0"
