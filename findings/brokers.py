"""Runs one of the brokers of host-tests/brokers, for the scripts in this folder."""

import contextlib
import os
import signal
import socket
import subprocess
import time


@contextlib.contextmanager
def running(program, name):
    """The address of the broker with the name, which keeps its data in the folder `data` and ends with the block."""
    for number_of_try in range(3):
        with start(program, name, f"data/{name}-{number_of_try}") as address:
            # Another program may have taken a port before the broker did.
            if address:
                yield address
                return
    raise RuntimeError(f"{name} does not start")


@contextlib.contextmanager
def start(program, name, folder):
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [server.getsockname()[1] for server in servers]
    os.makedirs(folder)
    command = [program, "serve", name, os.path.abspath(folder), "127.0.0.1", *map(str, ports)]
    with open(f"{folder}.log", "w") as log:
        broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
    try:
        yield ("127.0.0.1", ports[0]) if runs(broker, log.name) else None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(broker.pid, signal.SIGTERM)
        broker.wait()


def runs(broker, log):
    """Whether it does, as soon as that is known."""
    end = time.monotonic() + 60
    while broker.poll() is None and time.monotonic() < end:
        with open(log) as lines:
            if any(line.endswith("running\n") for line in lines):
                return True
        time.sleep(0.1)
    return False
