"""How fast the package is on this machine: ``python bench.py mqtt://localhost``."""

import sys
import time

import mqtt_wasi
from mqtt_wasi import Publication


def best(run, clock=time.perf_counter):
    """Seconds of the best of four runs, after one that is not counted."""
    run()
    fastest = float("inf")
    for _ in range(4):
        began = clock()
        run()
        fastest = min(fastest, clock() - began)
    return fastest


def rate(what, count, run):
    """Messages a second, and the processor time for a message."""
    print(f"{count / best(run):9.0f}/s {best(run, time.process_time) / count * 1e6:7.1f} µs  {what}")


with mqtt_wasi.connect(sys.argv[1] if len(sys.argv) > 1 else "mqtt://localhost") as client:
    text = "x" * 64
    batch = [Publication("bench", text)] * 1000
    rate("publish, QoS 0, 64 bytes", 1000, lambda: [client.publish("bench", text) for _ in range(1000)])
    rate("publish, QoS 1, 64 bytes", 500, lambda: [client.publish("bench", text, qos=1) for _ in range(500)])
    rate("publish_batch of 1,000, QoS 0, 64 bytes", 1000, lambda: client.publish_batch(batch))
    rate("publish_packed of 1,000, QoS 0, 64 bytes", 10_000, lambda: [client.publish_packed(batch) for _ in range(10)])
    for size, name in ((64 << 10, "64 KiB"), (1 << 20, "1 MiB")):
        for kind, payload in (("text", "x" * size), ("bytes", bytes(size))):
            seconds = best(lambda: client.publish("bench", payload, qos=1))
            print(f"{seconds * 1000:9.2f} ms publish {name} of {kind}, QoS 1")
    before = time.process_time()
    client.receive(10)
    print(f"{(time.process_time() - before) * 1000:9.2f} ms of processor time in 10 seconds of receive")
