"""rumqttd, which is within iotcore, with a listener for MQTT 5 alone: serve.py ADDRESS PORT"""

import os
import pathlib
import socket
import sys
import threading
import time

from iotcore import IotCoreBroker

CONFIG = """\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5-1"
listen = "{address}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 16777216
max_inflight_count = 100
dynamic_filters = true
"""


def say_when_it_listens(address: str, port: int) -> None:
    """It does not tell, neither that it listens nor that it cannot."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection((address, port), timeout=1).close()
            # At once, since rumqttd writes there, too.
            os.write(2, b"\nrunning\n")
            return
        except OSError:
            time.sleep(0.02)
    os._exit(1)


address, port = sys.argv[1:]
config = pathlib.Path("rumqttd.toml")
config.write_text(CONFIG.format(address=address, port=port))
threading.Thread(target=say_when_it_listens, args=(address, int(port)), daemon=True).start()
IotCoreBroker(config_path=str(config)).run_forever()
