"""Runs mosquitto with a configuration of the script's own, for the scripts in this folder."""

import os
import signal
import socket
import subprocess
import time


class Mosquitto:
    """mosquitto with these lines of configuration, in a new folder, until the block ends."""

    def __init__(self, program, folder, *lines):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.address = server.getsockname()
        os.makedirs(folder)
        self.command = [program, "-c", f"{folder}/mosquitto.conf"]
        with open(self.command[-1], "w") as config:
            config.write(f"listener {self.address[1]} 127.0.0.1\nallow_anonymous true\nuser root\nlog_dest none\n")
            config.writelines(f"{line}\n" for line in lines)
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                return socket.create_connection(self.address).close()
            except OSError:
                assert time.monotonic() < end, "mosquitto does not start"
                time.sleep(0.05)

    def restart(self, end=signal.SIGTERM):
        """Ends it with this signal, and starts it again with the same folder."""
        self.process.send_signal(end)
        self.process.wait()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
