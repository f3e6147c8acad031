"""A server over amqtt, a broker of MQTT 3.1.1: serve.py ADDRESS PORT"""

import asyncio
import sys

from amqtt.broker import Broker


async def serve(address: str, port: str) -> None:
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listeners = {"default": {"type": "tcp", "bind": f"{address}:{port}"}}
    broker = Broker({"listeners": listeners, "plugins": plugins})
    await broker.start()
    print("running", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


asyncio.run(serve(*sys.argv[1:]))
