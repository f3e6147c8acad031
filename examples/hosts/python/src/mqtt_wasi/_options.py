"""The options of a connection: each name is that of a setter of the component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, TypedDict

from ._error import wrong_call
from ._message import Payload, Publication, UserProperties, pairs

if TYPE_CHECKING:
    from ._component import Instance


class Options(TypedDict, total=False):
    """What `connect` takes. Units, ranges and defaults are those of `connect-options` in the component's WIT."""

    client_id: str
    clean_start: bool
    keep_alive_seconds: int
    user_name: str
    password: str | bytes
    will: Publication | None
    will_delay_interval_seconds: int
    session_expiry_interval_seconds: int
    receive_maximum: int
    maximum_packet_size: int
    topic_alias_maximum: int
    outbound_topic_aliases: int
    ca: str | bytes | Iterable[str | bytes]
    fingerprints: Iterable[str]
    only_own_ca: bool
    client_certificate: tuple[str | bytes, str | bytes]
    server_name: str
    alpn: Iterable[str | bytes]
    websocket_headers: UserProperties
    proxy: str
    fallbacks: Iterable[str]
    reconnect: bool
    reconnect_delays_ms: tuple[int, int]
    reconnect_attempts: int
    reconnect_refusals: int
    first_connect_ms: int
    redirect_limit: int
    restore_subscriptions: bool
    restore_messages: bool
    filters_per_subscribe: int
    attempts_per_message: int
    skip_refused_messages: bool
    adopt_session: bool
    snapshot: bytes
    authentication_method: str
    authentication_data: bytes
    request_response_information: bool
    request_problem_information: bool
    user_properties: UserProperties
    skip_unknown_properties: bool
    acknowledge_by_hand: bool
    connect_timeout_ms: int
    response_timeout_ms: int
    outbound_limit: int
    in_flight_limit: int
    backlog_limit: int
    response_topic: str
    pending_request_limit: int


#: Options that are given as several values, with the call for each.
_ADDED = {
    "ca": "add-ca",
    "fingerprints": "add-fingerprint",
    "alpn": "add-alpn",
    "fallbacks": "add-fallback",
    "websocket_headers": "add-websocket-header",
    "user_properties": "add-user-property",
}
_PAIRS = ("websocket_headers", "user_properties")
_BYTES = ("password", "ca", "alpn", "snapshot", "authentication_data")


def make(instance: Instance, options: dict[str, Any]) -> int:
    """Returns the component's options, filled."""
    for name in options:
        if name not in Options.__annotations__:
            known = ", ".join(sorted([*Options.__annotations__, "allow"]))
            raise wrong_call(f"there is no option {name!r}: choose from {known}")
    target: int = instance.call("[constructor]connect-options")

    def call(setter: str, *values: Any) -> None:
        instance.call(f"[method]connect-options.{setter}", target, *values)

    for name, value in options.items():
        if name in _ADDED:
            for each in _several(name, value):
                call(_ADDED[name], *each)
        elif name == "will":
            message = None if value is None else value.to_wit()
            call("set-will", message, options.get("will_delay_interval_seconds"))
        elif name in ("client_certificate", "reconnect_delays_ms"):
            call(_setter(name), *(_bytes(each) if name == "client_certificate" else each for each in value))
        elif name != "will_delay_interval_seconds":
            call(_setter(name), _bytes(value) if name in _BYTES else value)
    return target


def _setter(name: str) -> str:
    return "set-" + name.replace("_", "-")


def _several(name: str, value: Any) -> Iterable[tuple[Any, ...]]:
    if name in _PAIRS:
        return pairs(value)
    listed = [value] if isinstance(value, (str, bytes)) else value
    convert: Callable[[Any], Any] = _bytes if name in _BYTES else lambda each: each
    return [(convert(each),) for each in listed]


def _bytes(value: Payload) -> Any:
    return value.encode() if isinstance(value, str) else value
