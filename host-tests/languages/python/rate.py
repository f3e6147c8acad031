"""Publishes 64 bytes at QoS 0, as often as the last argument says: one by one, or in batches."""

from command import command
from mqtt import connect

MESSAGE = {"topic": "mqtt-wasi/guest/rate", "payload": "x" * 64}
BATCH = 1_000


def main(args: list[str]) -> None:
    url, how, times = args
    left = int(times)
    with connect(url) as client:
        while how == "batches" and left >= BATCH:
            client.publish_batch([MESSAGE] * BATCH)
            left -= BATCH
        for _ in range(left):
            client.publish(**MESSAGE)


Run = command(main)
