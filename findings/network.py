"""A way to a broker that can fail, for the scripts in this folder."""

import contextlib
import socket
import threading


class Network:
    """Carries what clients that connect to `port` and the broker at the address send each other.

    While `works` is False, new connections end at once. While `loses` is True, what the broker sends is lost.
    """

    def __init__(self, address):
        self.address, self.works, self.loses, self.ends = address, True, False, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.server.accept()
            if not self.works:
                near.close()
                continue
            far = socket.create_connection(self.address)
            self.ends += near, far
            threading.Thread(target=self.carry, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.carry, args=(far, near, True), daemon=True).start()

    def carry(self, source, target, may_be_lost):
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if not (may_be_lost and self.loses):
                    target.sendall(data)
        close(source, target)

    def cut(self):
        """Ends the connections that there are."""
        close(*self.ends)
        self.ends.clear()


def close(*ends):
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
