"""What a client may connect to: its brokers, and nothing else, unless a function of the user's decides."""

from __future__ import annotations

import ipaddress
import re

from ._wasi import Permission

_SCHEME = re.compile(r"(?:([a-z0-9]+)://)?(.*)", re.IGNORECASE | re.DOTALL)
_PLACE = re.compile(r"(\[[0-9a-f:.]+\]|[^:/?#@\[\]]+)(?::([0-9]+))?(?:[/?#].*)?", re.IGNORECASE | re.DOTALL)
_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}


class Permissions:
    def __init__(self, urls: list[str], allow: Permission | None) -> None:
        self._allow = allow
        #: The addresses of each host of a broker, and the port.
        self._brokers: list[tuple[str, int, set[str]]] = []
        for url in urls:
            endpoint = _endpoint(url)
            if endpoint:
                host, port = endpoint
                self._brokers.append((host, port, {host} if _is_address(host) else set()))

    def may_look_up(self, name: str) -> bool:
        return self._allow is not None or any(host == name.lower() for host, _, _ in self._brokers)

    def found(self, name: str, addresses: list[str]) -> None:
        """A name has these addresses now."""
        for host, _, known in self._brokers:
            if host == name.lower():
                known.clear()
                known.update(str(ipaddress.ip_address(address)) for address in addresses)

    def may_connect(self, address: str, port: int) -> bool:
        if self._allow is not None:
            return bool(self._allow(address, port))
        return any(port == allowed and address in addresses for _, allowed, addresses in self._brokers)


def _endpoint(url: str) -> tuple[str, int] | None:
    split = _SCHEME.fullmatch(url)
    if not split:
        return None
    scheme, rest = (split[1] or "").lower(), split[2]
    # As the component does: a login may have a `/` or an `@` in it, where no path follows.
    login = r".*@" if scheme in ("mqtt", "mqtts") else r"[^/?#]*@"
    match = _PLACE.fullmatch(re.sub(f"^{login}", "", rest, flags=re.DOTALL))
    if not match:
        return None
    host, port = match.groups()
    number = int(port) if port else _PORTS.get(scheme, 0)
    if not 0 < number < 65536:
        return None
    host = host.strip("[]").lower()
    return (str(ipaddress.ip_address(host)) if _is_address(host) else host), number


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
