"""The package as its user has it installed, against the broker of ``MQTT_URL``."""

import json
import os
import socket
import threading
import time
import unittest
from pathlib import Path

import mqtt_wasi
from mqtt_wasi import MqttError, Publication

URL = os.environ["MQTT_URL"]
TLS_URL, CA = os.environ.get("MQTT_TLS_URL"), os.environ.get("MQTT_CA")

_topics = iter(range(1_000_000))


def topic(name):
    """A topic that no other test uses."""
    return f"mqtt-wasi/python/{os.getpid()}/{next(_topics)}/{name}"


class MovedBroker:
    """A server that answers CONNECT with 0x9D, Server moved, and the name of another, which counts who connects."""

    def __enter__(self):
        self.visits = 0
        self._other = socket.create_server(("127.0.0.1", 0))
        self._broker = socket.create_server(("127.0.0.1", 0))
        self.url = "mqtt://127.0.0.1:%d" % self._broker.getsockname()[1]
        self.other = self._other.getsockname()
        for serve in (self._move, self._count):
            threading.Thread(target=serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._broker.close()
        self._other.close()

    def _move(self):
        name = b"127.0.0.1:%d" % self.other[1]
        properties = b"\x1c" + len(name).to_bytes(2, "big") + name
        while True:
            try:
                peer, _ = self._broker.accept()
            except OSError:
                return
            with peer:
                peer.recv(4096)
                peer.sendall(bytes([0x20, 3 + len(properties), 0, 0x9D, len(properties)]) + properties)

    def _count(self):
        while True:
            try:
                peer, _ = self._other.accept()
            except OSError:
                return
            self.visits += 1
            peer.close()


class Messages(unittest.TestCase):
    def test_a_message_arrives_with_its_properties(self):
        with mqtt_wasi.connect(URL) as client:
            to = topic("properties")
            self.assertEqual(client.subscribe(to, qos=1), 1)
            twice = [("a", "1"), ("a", "2")]
            code = client.publish(
                to, "héllo", qos=1, content_type="text/plain", correlation_data=b"id", user_properties=twice
            )
            self.assertEqual(code, 0)
            message = client.receive(60)
            self.assertEqual((message.topic, message.payload, message.qos), (to, "héllo", 1))
            self.assertEqual((message.content_type, message.correlation_data), ("text/plain", b"id"))
            self.assertEqual([pair for pair in message.user_properties if pair[0] == "a"], twice)

    def test_text_and_bytes_of_a_megabyte_are_fast(self):
        with mqtt_wasi.connect(URL) as client:
            to = topic("large")
            client.subscribe(to, qos=1)
            for payload in (b"", b"\x00", bytes(range(256)) * 4096, "x" * (1 << 20), memoryview(b"abcd" * 50)[::2]):
                fastest = 1.0
                for _ in range(5):
                    # Processor time: a busy machine is no fault of the package.
                    began = time.process_time()
                    client.publish(to, payload, qos=1)
                    fastest = min(fastest, time.process_time() - began)
                    received = client.receive(60).payload
                    self.assertEqual(received, bytes(payload) if isinstance(payload, memoryview) else payload)
                self.assertLess(fastest, 0.05)

    def test_iteration_takes_the_messages_in_order_and_ends_with_the_client(self):
        with mqtt_wasi.connect(URL) as client:
            to = topic("order")
            client.subscribe(to, qos=1)
            results = client.publish_batch([Publication(to, str(number), qos=1) for number in range(300)])
            self.assertEqual(results, [0] * 300)
            texts = []
            for message in client:
                texts.append(message.text)
                if len(texts) == 300:
                    break
            self.assertEqual(texts, [str(number) for number in range(300)])
            threading.Timer(0.05, client.disconnect).start()
            self.assertEqual(list(client.messages()), [])

    def test_packed_messages_are_the_same(self):
        with mqtt_wasi.connect(URL) as client:
            to = topic("packed")
            client.subscribe(to, qos=2)
            failures = client.publish_packed(
                [
                    Publication(to, "text", qos=2, content_type="a", message_expiry_interval_seconds=60),
                    Publication("a/+", b"no"),
                    Publication(
                        to, b"\x00\x01", 2, user_properties={"n": "v"}, response_topic="r", correlation_data=b"c"
                    ),
                ]
            )
            self.assertEqual(list(failures), [1])
            self.assertEqual(failures[1].kind, "wrong-call")
            first, second = client.receive(60), client.receive(60)
            self.assertEqual((first.payload, first.content_type, first.qos), ("text", "a", 2))
            self.assertEqual(first.message_expiry_interval_seconds, 60)
            self.assertEqual((second.payload, second.response_topic, second.correlation_data), (b"\x00\x01", "r", b"c"))
            self.assertIn(("n", "v"), second.user_properties)
            with self.assertRaises(MqttError):
                client.publish_packed([Publication(to, 7)])
            with self.assertRaises(MqttError):
                client.publish_packed([Publication(to, "x", message_expiry_interval_seconds=1 << 32)])


class Waiting(unittest.TestCase):
    def test_a_wait_costs_nothing(self):
        with mqtt_wasi.connect(URL) as client:
            before = time.process_time()
            self.assertIsNone(client.receive(3))
            self.assertLess(time.process_time() - before, 0.1)
            before = time.process_time()
            for _ in range(200):
                self.assertIsNone(client.receive(0.005))
            self.assertLess(time.process_time() - before, 1.0)

    def test_threads_share_a_client(self):
        with mqtt_wasi.connect(URL) as client:
            to = topic("threads")
            client.subscribe(to, qos=1)
            received = []
            taker = threading.Thread(target=lambda: received.extend(client.receive(60).text for _ in range(100)))
            taker.start()
            publish = lambda name: [client.publish(to, f"{name}{number}", qos=1) for number in range(25)]
            publishers = [threading.Thread(target=publish, args=(name,)) for name in "abcd"]
            for thread in [*publishers, taker]:
                if not thread.is_alive():
                    thread.start()
            for thread in [*publishers, taker]:
                thread.join(120)
            self.assertEqual(sorted(received), sorted(f"{name}{number}" for name in "abcd" for number in range(25)))

    def test_others_publish_while_one_waits(self):
        with mqtt_wasi.connect(URL) as client:
            to = topic("meanwhile")
            client.subscribe(to)
            threading.Timer(0.1, client.publish, (to, "now")).start()
            began = time.monotonic()
            self.assertEqual(client.receive(60).text, "now")
            self.assertLess(time.monotonic() - began, 30)


class Failures(unittest.TestCase):
    def test_a_failure_is_an_exception_with_words(self):
        with mqtt_wasi.connect(URL) as client:
            with self.assertRaisesRegex(MqttError, "wildcards") as caught:
                client.publish("a/+", "x")
            error = caught.exception
            self.assertEqual((error.kind, error.name, error.reason_code), ("wrong-call", "invalid-argument", None))
            for call in (
                lambda: client.publish("t", 7),
                lambda: client.publish(7),
                lambda: client.publish("t", qos=3),
                lambda: client.receive(-1),
                lambda: mqtt_wasi.connect(URL, clientId="x"),
                lambda: mqtt_wasi.connect(URL, keep_alive_seconds=70_000),
                lambda: mqtt_wasi.connect("nonsense"),
            ):
                with self.assertRaises(MqttError) as caught:
                    call()
                self.assertEqual(caught.exception.kind, "wrong-call")
            self.assertEqual(client.publish(topic("after"), "x", qos=1) < 0x80, True)

    def test_a_port_where_nobody_listens(self):
        with self.assertRaises(MqttError) as caught:
            mqtt_wasi.connect("mqtt://127.0.0.1:1")
        self.assertEqual((caught.exception.kind, caught.exception.name), ("connection-over", "port-closed"))

    def test_after_the_end_calls_fail(self):
        client = mqtt_wasi.connect(URL)
        client.disconnect()
        client.disconnect()
        with self.assertRaises(MqttError) as caught:
            client.publish("t", "x")
        self.assertEqual(caught.exception.kind, "connection-over")
        self.assertFalse(client.is_connected)


class Requests(unittest.TestCase):
    def test_a_request_gets_its_reply_or_the_reason_why_not(self):
        with mqtt_wasi.connect(URL) as client, mqtt_wasi.connect(URL) as server:
            to = topic("add")
            server.subscribe(to, qos=1)

            def serve():
                for request in server.requests():
                    numbers = request.message.json()
                    if numbers:
                        server.reply(request, str(sum(numbers)), content_type="text/plain")
                    else:
                        server.fail_request(request, "nothing to add")

            serving = threading.Thread(target=serve)
            serving.start()
            reply = client.request(to, json.dumps([1, 2, 3]), timeout=60)
            self.assertEqual((reply.text, reply.content_type), ("6", "text/plain"))
            with self.assertRaisesRegex(MqttError, "nothing to add"):
                client.request(to, "[]", timeout=60)
            server.disconnect()
            serving.join(60)
            self.assertFalse(serving.is_alive())
            with self.assertRaises(MqttError):
                client.request(topic("nobody"), "x", timeout=0.3)


class Permission(unittest.TestCase):
    def test_the_broker_may_be_connected_to_and_nothing_else(self):
        with MovedBroker() as broker:
            with self.assertRaises(MqttError):
                mqtt_wasi.connect(broker.url, reconnect=True, reconnect_attempts=1)
            self.assertEqual(broker.visits, 0)
            asked = []

            def allow(address, port):
                asked.append((address, port))
                return True

            with self.assertRaises(MqttError):
                mqtt_wasi.connect(broker.url, allow=allow, reconnect=True, reconnect_attempts=1, first_connect_ms=3000)
            self.assertIn(broker.other, asked)
            self.assertGreater(broker.visits, 0)

    def test_a_function_refuses(self):
        with self.assertRaises(MqttError) as caught:
            mqtt_wasi.connect(URL, allow=lambda address, port: False)
        self.assertEqual(caught.exception.name, "access-denied")

    def test_a_login_may_have_any_characters(self):
        mqtt_wasi.connect(URL.replace("//", "//us/er:p@ss%40@")).disconnect()

    def test_a_name_is_looked_up(self):
        mqtt_wasi.connect(URL.replace("127.0.0.1", "localhost")).disconnect()


class Sessions(unittest.TestCase):
    def test_a_snapshot_continues_the_session(self):
        options = {"client_id": topic("snapshot").replace("/", "-"), "session_expiry_interval_seconds": 60}
        first = mqtt_wasi.connect(URL, **options)
        to = topic("kept")
        first.subscribe(to, qos=1)
        snapshot = first.snapshot()
        first.disconnect()
        with mqtt_wasi.connect(URL, snapshot=snapshot, **options) as second:
            # By the broker, or by the client where the broker has lost it.
            second.publish(to, "still", qos=1)
            self.assertEqual(second.receive(60).text, "still")
            second.disconnect(session_expiry_interval_seconds=0)

    def test_a_will_is_published_for_a_client_that_is_cut(self):
        with mqtt_wasi.connect(URL) as watcher:
            to = topic("will")
            watcher.subscribe(to)
            mqtt_wasi.connect(URL, will=Publication(to, "gone")).close()
            self.assertEqual(watcher.receive(60).text, "gone")

    def test_clients_come_and_go_without_a_trace(self):
        before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
        for _ in range(10):
            mqtt_wasi.connect(URL).disconnect()
        if before:
            self.assertLessEqual(len(os.listdir("/proc/self/fd")), before + 2)


@unittest.skipUnless(TLS_URL, "MQTT_TLS_URL is not set")
class Tls(unittest.TestCase):
    def test_an_authority_of_ones_own(self):
        with mqtt_wasi.connect(TLS_URL, ca=Path(CA).read_bytes()) as client:
            to = topic("tls")
            client.subscribe(to, qos=1)
            client.publish(to, "x" * 300_000, qos=1)
            self.assertEqual(len(client.receive(60).text), 300_000)
        with self.assertRaises(MqttError) as caught:
            mqtt_wasi.connect(TLS_URL)
        self.assertEqual((caught.exception.kind, caught.exception.name), ("not-trusted", "tls-unknown-issuer"))


if __name__ == "__main__":
    unittest.main()
