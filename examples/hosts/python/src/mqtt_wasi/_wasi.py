"""What the component asks of its host: sockets, a clock and randomness, over Python's own.

The functions have the signatures that the component model gives them in core WebAssembly, so bytes are copied in one
piece.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import select
import socket
import struct
import sys
import threading
import time
from typing import Any, Callable, Iterable

from ._canonical import Memory

_ERRORS = [
    "unknown",
    "access-denied",
    "not-supported",
    "invalid-argument",
    "out-of-memory",
    "timeout",
    "concurrency-conflict",
    "not-in-progress",
    "would-block",
    "invalid-state",
    "new-socket-limit",
    "address-not-bindable",
    "address-in-use",
    "remote-unreachable",
    "connection-refused",
    "connection-reset",
    "connection-aborted",
    "datagram-too-large",
    "name-unresolvable",
    "temporary-resolver-failure",
    "permanent-resolver-failure",
]

_CODES = {
    errno.ECONNREFUSED: "connection-refused",
    errno.ECONNRESET: "connection-reset",
    errno.EPIPE: "connection-reset",
    errno.ECONNABORTED: "connection-aborted",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "remote-unreachable",
    errno.ENETUNREACH: "remote-unreachable",
    errno.EADDRNOTAVAIL: "remote-unreachable",
    errno.EACCES: "access-denied",
    errno.EPERM: "access-denied",
    errno.EMFILE: "new-socket-limit",
    errno.ENFILE: "new-socket-limit",
}

_IN_PROGRESS = {
    errno.EINPROGRESS,
    errno.EWOULDBLOCK,
    errno.EAGAIN,
    errno.EALREADY,
    getattr(errno, "WSAEWOULDBLOCK", -1),
}

#: How much `write` takes at once. What the network does not take of it waits here.
_MOST_WRITE = 1 << 20
_MOST_READ = 1 << 20

#: The longest wait in one piece, in milliseconds.
_LONGEST_WAIT = 1 << 30

Permission = Callable[[str, int], bool]


class WasiError(Exception):
    """A call of the component that fails with an error code of wasi:sockets."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.number = _ERRORS.index(code)


class Connection:
    """A TCP socket, with what the component knows of it."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._unsent = memoryview(b"")
        self.is_connecting = False
        self._is_connected = False
        self._is_shut = False
        self._has_ended = False
        self._handles = 1
        #: Why it failed.
        self.failure: str | None = None
        #: Whether the last read found nothing, so that the next bytes are waited for.
        self.is_drained = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def start(self, address: str, port: int) -> None:
        if self.is_connecting or self._is_connected:
            raise WasiError("invalid-state")
        error = self._socket.connect_ex((address, port))
        if error and error not in _IN_PROGRESS:
            self.failure = _CODES.get(error, "unknown")
        self.is_connecting = True

    def finish(self) -> None:
        if not self.is_connecting:
            raise WasiError("not-in-progress")
        if self.failure is None:
            if not wait([], [self], 0)[1]:
                raise WasiError("would-block")
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self.failure = _CODES.get(error, "unknown")
        if self.failure is not None:
            raise WasiError(self.failure)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_connecting, self._is_connected = False, True
        self._handles += 2

    def read(self, length: int) -> bytes | None:
        """Returns what is there; nothing: not yet. None: the peer has closed."""
        if self.failure is not None:
            raise BrokenStream(self.failure)
        if self._has_ended:
            return None
        self.is_drained = False
        try:
            data = self._socket.recv(min(length, _MOST_READ))
        except (BlockingIOError, InterruptedError):
            self.is_drained = True
            return b""
        except OSError as error:
            raise self._failed(error) from None
        self._has_ended = not data
        return data or None

    def room(self) -> int:
        if self.failure is not None:
            raise BrokenStream(self.failure)
        if self._is_shut:
            raise BrokenStream(None)
        self.send_unsent()
        return 0 if self._unsent else _MOST_WRITE

    def write(self, data: bytes) -> None:
        self._unsent = memoryview(bytes(self._unsent) + data) if self._unsent else memoryview(data)
        self.send_unsent()

    def send_unsent(self) -> None:
        while self._unsent:
            try:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                raise self._failed(error) from None

    @property
    def has_unsent(self) -> bool:
        return len(self._unsent) > 0

    def shut(self, how: int) -> None:
        self._is_shut = self._is_shut or how != 0
        try:
            self._socket.shutdown((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR)[how])
        except OSError:
            # It is over already.
            pass

    def release(self) -> None:
        self._handles -= 1
        if self._handles <= 0:
            self.close()

    def close(self) -> None:
        self._socket.close()

    def is_closed(self) -> bool:
        return self._socket.fileno() < 0

    def is_readable_at_once(self) -> bool:
        return self.failure is not None or self._has_ended or self.is_closed()

    def is_writable_at_once(self) -> bool:
        return self.failure is not None or self._is_shut or self.is_closed()

    def _failed(self, error: OSError) -> BrokenStream:
        self.failure = _CODES.get(error.errno or 0, "unknown")
        return BrokenStream(self.failure)


class BrokenStream(Exception):
    """A stream that gives or takes no more: why, or None if it was closed."""

    def __init__(self, why: str | None) -> None:
        super().__init__(why)
        self.why = why


class LookUp:
    """A name that is being looked up. A thread does it, since Python's resolver blocks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._ready, self._tell = socket.socketpair()
        self._addresses: list[str] | None = None
        self._code: str | None = None
        threading.Thread(target=self._look_up, name="mqtt-wasi look-up", daemon=True).start()

    def _look_up(self) -> None:
        try:
            found = socket.getaddrinfo(self._name, None, type=socket.SOCK_STREAM)
            self._addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        except socket.gaierror as error:
            temporary = error.errno == getattr(socket, "EAI_AGAIN", None)
            self._code = "temporary-resolver-failure" if temporary else "name-unresolvable"
        except (OSError, UnicodeError):
            self._code = "name-unresolvable"
        self._tell.close()

    def fileno(self) -> int:
        return self._ready.fileno()

    def addresses(self) -> list[str]:
        """All of them, which are to be taken out one by one."""
        if self._code is not None:
            raise WasiError(self._code)
        if self._addresses is None:
            raise WasiError("would-block")
        return self._addresses

    def release(self) -> None:
        self._ready.close()


class Pollable:
    """Something to wait for: a time, or a socket."""

    def __init__(self, at: int | None = None, reads: Any = None, writes: Any = None) -> None:
        self.at, self.reads, self.writes = at, reads, writes

    def release(self) -> None:
        pass

    def is_ready_at_once(self) -> bool:
        if self.at is not None:
            return time.monotonic_ns() >= self.at
        if self.reads is not None:
            return isinstance(self.reads, Connection) and self.reads.is_readable_at_once()
        return self.writes is None or self.writes.is_writable_at_once()


class Network:
    """The host's side of an instance: what the numbers that it has stand for, and what they can do."""

    def __init__(
        self, may_look_up: Callable[[str], bool], found: Callable[[str, list[str]], None], may: Permission
    ) -> None:
        self._may_look_up, self._found, self._may_connect = may_look_up, found, may
        self._handles: dict[int, Any] = {}
        self._next = 0
        self.memory: Memory
        #: Grows with each read that got bytes.
        self.reads = 0

    def close(self) -> None:
        for held in self._handles.values():
            if isinstance(held, _Socket):
                held.connection.close()
            elif isinstance(held, LookUp):
                held.release()
        self._handles.clear()

    def idle(self, until: float | None, bell: Any) -> None:
        """Waits outside of the component, until then, for what it would go on with, or for the bell."""
        held = list(self._handles.values())
        connections = {each.connection for each in held if isinstance(each, _Socket)}
        connections = {each for each in connections if not each.is_closed()}
        # One that is not drained has bytes that the component does not want yet.
        reads = [each for each in connections if each.is_drained]
        writes = [each for each in connections if each.has_unsent or each.is_connecting]
        look_ups = [each for each in held if isinstance(each, LookUp)]
        wait([*reads, *look_ups, bell], writes, None if until is None else (until - time.monotonic()) * 1000)

    def send_unsent(self) -> None:
        """Sends what the network did not take before."""
        for held in self._handles.values():
            if isinstance(held, _Socket) and held.connection.has_unsent:
                try:
                    held.connection.send_unsent()
                except BrokenStream:
                    # The component finds out.
                    pass

    def functions(self) -> dict[tuple[str, str], Callable[..., Any]]:
        """What the component imports, by module and name."""
        clocks, io, sockets = "wasi:clocks/", "wasi:io/", "wasi:sockets/"
        look_up = sockets + "ip-name-lookup@0.2.0"
        functions: dict[tuple[str, str], Callable[..., Any]] = {
            (clocks + "monotonic-clock@0.2.0", "now"): time.monotonic_ns,
            (clocks + "monotonic-clock@0.2.0", "subscribe-instant"): self._subscribe_instant,
            (clocks + "wall-clock@0.2.0", "now"): self._date,
            ("wasi:random/random@0.2.0", "get-random-u64"): lambda: _signed(secrets.randbits(64)),
            ("wasi_snapshot_preview1", "random_get"): self._random,
            (io + "error@0.2.0", "[method]error.to-debug-string"): self._words,
            (io + "poll@0.2.0", "[method]pollable.ready"): lambda handle: int(bool(self._poll([handle], 0))),
            (io + "poll@0.2.0", "[method]pollable.block"): lambda handle: void(self._poll([handle], None)),
            (io + "poll@0.2.0", "poll"): self._poll_list,
            (io + "streams@0.2.0", "[method]input-stream.read"): self._read,
            (io + "streams@0.2.0", "[method]input-stream.subscribe"): self._subscribe_reads,
            (io + "streams@0.2.0", "[method]output-stream.check-write"): self._check_write,
            (io + "streams@0.2.0", "[method]output-stream.write"): self._write,
            (io + "streams@0.2.0", "[method]output-stream.flush"): self._flush,
            (io + "streams@0.2.0", "[method]output-stream.subscribe"): self._subscribe_writes,
            (sockets + "instance-network@0.2.0", "instance-network"): lambda: self._keep(_Nothing()),
            (look_up, "resolve-addresses"): self._resolve,
            (look_up, "[method]resolve-address-stream.resolve-next-address"): self._next_address,
            (look_up, "[method]resolve-address-stream.subscribe"): self._subscribe_look_up,
            (sockets + "tcp@0.2.0", "[method]tcp-socket.start-connect"): self._start_connect,
            (sockets + "tcp@0.2.0", "[method]tcp-socket.finish-connect"): self._finish_connect,
            (sockets + "tcp@0.2.0", "[method]tcp-socket.subscribe"): self._subscribe_writes,
            (sockets + "tcp@0.2.0", "[method]tcp-socket.shutdown"): self._shutdown,
            (sockets + "tcp-create-socket@0.2.0", "create-tcp-socket"): self._create,
        }
        resources = {
            io + "error@0.2.0": ["error"],
            io + "poll@0.2.0": ["pollable"],
            io + "streams@0.2.0": ["input-stream", "output-stream"],
            sockets + "network@0.2.0": ["network"],
            sockets + "ip-name-lookup@0.2.0": ["resolve-address-stream"],
            sockets + "tcp@0.2.0": ["tcp-socket"],
        }
        for module, names in resources.items():
            for name in names:
                functions[module, f"[resource-drop]{name}"] = self._drop
        return functions

    def _keep(self, held: Any) -> int:
        self._next += 1
        self._handles[self._next] = held
        return self._next

    def _drop(self, handle: int) -> None:
        self._handles.pop(handle).release()

    def _pack(self, layout: str, at: int, *values: int) -> None:
        struct.pack_into("<" + layout, self.memory.refresh(), at, *values)

    def _date(self, result: int) -> None:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        self._pack("QI", result, seconds, nanoseconds)

    def _random(self, at: int, length: int) -> int:
        self.memory.refresh()[at : at + length] = os.urandom(length)
        return 0

    def _words(self, handle: int, result: int) -> None:
        self._pack("II", result, *self.memory.place(self._handles[handle].encode()))

    def _poll(self, handles: Iterable[int], timeout: float | None) -> list[int]:
        """Returns the places of those that are ready, and waits for the first of them."""
        pollables: list[Pollable] = [self._handles[handle] for handle in handles]
        while True:
            ready = [index for index, each in enumerate(pollables) if each.is_ready_at_once()]
            times = [each.at for each in pollables if each.at is not None]
            rest = 0 if ready else timeout
            if rest is None and times:
                rest = max(0, min(times) - time.monotonic_ns()) / 1e6
            reads = [each.reads for each in pollables if each.reads is not None and not each.is_ready_at_once()]
            writes = [each.writes for each in pollables if each.writes is not None and not each.is_ready_at_once()]
            readable, writable = wait(reads, writes, rest)
            for index, each in enumerate(pollables):
                is_ready = each.reads in readable if each.reads is not None else each.writes in writable
                if is_ready and index not in ready:
                    ready.append(index)
            if ready or timeout == 0:
                return sorted(ready)

    def _poll_list(self, at: int, length: int, result: int) -> None:
        handles = struct.unpack_from(f"<{length}I", self.memory.refresh(), at)
        ready = self._poll(handles, None)
        place = self.memory.allocate(4 * len(ready), 4)
        self._pack(f"{len(ready)}I", place, *ready)
        self._pack("II", result, place, len(ready))

    def _broken(self, error: BrokenStream, at: int, payload: int) -> None:
        """Writes a `stream-error` into a result."""
        if error.why is None:
            self._pack("B", at, 1)
            self._pack("B", at + payload, 1)
        else:
            self._pack("B", at, 1)
            self._pack("B", at + payload, 0)
            self._pack("I", at + payload + 4, self._keep(_Words(error.why)))

    def _read(self, handle: int, length: int, result: int) -> None:
        try:
            data = self._handles[handle].connection.read(length)
            if data is None:
                raise BrokenStream(None)
        except BrokenStream as error:
            return self._broken(error, result, 4)
        if data:
            self.reads += 1
        self.memory.refresh()
        place = self.memory.place(data)
        self._pack("BxxxII", result, 0, *place)

    def _check_write(self, handle: int, result: int) -> None:
        try:
            self._pack("BxxxxxxxQ", result, 0, self._handles[handle].connection.room())
        except BrokenStream as error:
            self._broken(error, result, 8)

    def _write(self, handle: int, at: int, length: int, result: int) -> None:
        try:
            self._handles[handle].connection.write(bytes(self.memory.refresh()[at : at + length]))
            self._pack("B", result, 0)
        except BrokenStream as error:
            self._broken(error, result, 4)

    def _flush(self, handle: int, result: int) -> None:
        # `room` is nothing as long as something is left.
        self._pack("B", result, 0)

    def _subscribe_instant(self, at: int) -> int:
        return self._keep(Pollable(at=at & (1 << 64) - 1))

    def _subscribe_reads(self, handle: int) -> int:
        return self._keep(Pollable(reads=self._handles[handle].connection))

    def _subscribe_writes(self, handle: int) -> int:
        return self._keep(Pollable(writes=self._handles[handle].connection))

    def _subscribe_look_up(self, handle: int) -> int:
        return self._keep(Pollable(reads=self._handles[handle]))

    def _resolve(self, network: int, at: int, length: int, result: int) -> None:
        name = str(self.memory.refresh()[at : at + length], "utf-8")
        if self._may_look_up(name):
            self._pack("BxxxI", result, 0, self._keep(_Resolving(name)))
        else:
            self._pack("BxxxB", result, 1, _ERRORS.index("access-denied"))

    def _next_address(self, handle: int, result: int) -> None:
        resolving = self._handles[handle]
        try:
            if resolving.left is None:
                found = [address.split("%")[0] for address in resolving.addresses()]
                self._found(resolving.name, found)
                resolving.left = found
        except WasiError as error:
            return self._pack("BxB", result, 1, error.number)
        if not resolving.left:
            return self._pack("BxB", result, 0, 0)
        address = ipaddress.ip_address(resolving.left.pop(0))
        if address.version == 4:
            self._pack("BxBxBxBBBB", result, 0, 1, 0, *address.packed)
        else:
            self._pack("BxBxBx8H", result, 0, 1, 1, *struct.unpack(">8H", address.packed))

    def _create(self, family: int, result: int) -> None:
        try:
            connection = Connection(socket.AF_INET6 if family else socket.AF_INET)
        except OSError as error:
            return self._pack("BxxxB", result, 1, _ERRORS.index(_CODES.get(error.errno or 0, "unknown")))
        self._pack("BxxxI", result, 0, self._keep(_Socket(connection)))

    def _start_connect(self, handle: int, network: int, family: int, *rest: int) -> None:
        *values, result = rest
        port = values[0]
        if family == 0:
            address = ".".join(map(str, values[1:5]))
        else:
            address = str(ipaddress.IPv6Address(struct.pack(">8H", *values[2:10])))
        try:
            if not self._may_connect(address, port):
                raise WasiError("access-denied")
            self._handles[handle].connection.start(address, port)
            self._pack("BB", result, 0, 0)
        except WasiError as error:
            self._pack("BB", result, 1, error.number)

    def _finish_connect(self, handle: int, result: int) -> None:
        connection = self._handles[handle].connection
        try:
            connection.finish()
        except WasiError as error:
            return self._pack("BxxxB", result, 1, error.number)
        streams = self._keep(_Socket(connection)), self._keep(_Socket(connection))
        self._pack("BxxxII", result, 0, *streams)

    def _shutdown(self, handle: int, how: int, result: int) -> None:
        self._handles[handle].connection.shut(how)
        self._pack("BB", result, 0, 0)


class _Nothing:
    """A handle that stands for nothing in particular."""

    def release(self) -> None:
        pass


class _Words(_Nothing):
    def __init__(self, words: str) -> None:
        self._words = words

    def encode(self) -> bytes:
        return self._words.encode()


class _Socket:
    """A handle of a connection: the socket, or one of its streams."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def release(self) -> None:
        self.connection.release()


class _Resolving(LookUp):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
        self.left: list[str] | None = None


def wait(reads: list[Any], writes: list[Any], milliseconds: float | None) -> tuple[set[Any], set[Any]]:
    """Waits until one of these sockets can be read or written; returns those that can."""
    # Never shorter than asked for, or what waits for a point in time comes too early, and again.
    rest = None if milliseconds is None else max(0, min(_LONGEST_WAIT, milliseconds))
    if sys.platform == "win32":
        return _wait_by_select(reads, writes, rest)
    poll = select.poll()
    events: dict[int, int] = {}
    for sockets, event in ((reads, select.POLLIN), (writes, select.POLLOUT)):
        for number in (each.fileno() for each in sockets):
            # Another thread may have closed it.
            if number >= 0:
                events[number] = events.get(number, 0) | event
    for number, event in events.items():
        poll.register(number, event)
    happened = dict(poll.poll(rest if rest is None else -int(-rest // 1)))
    over = select.POLLERR | select.POLLHUP | select.POLLNVAL
    return (
        {each for each in reads if happened.get(each.fileno(), 0) & (select.POLLIN | over)},
        {each for each in writes if happened.get(each.fileno(), 0) & (select.POLLOUT | over)},
    )


def _wait_by_select(reads: list[Any], writes: list[Any], milliseconds: float | None) -> tuple[set[Any], set[Any]]:
    if not reads and not writes:
        time.sleep(0 if milliseconds is None else milliseconds / 1000)
        return set(), set()
    seconds = None if milliseconds is None else milliseconds / 1000
    # A connection that failed shows as an exception there.
    readable, writable, failed = select.select(reads, writes, writes, seconds)
    return set(readable), {*writable, *failed}


def void(_: object) -> None:
    """For functions without a result."""


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number
