"""Failures as exceptions."""

from __future__ import annotations

from typing import Any


class MqttError(Exception):
    """A call that failed. ``str(error)`` tells what went wrong, in words."""

    #: What it means for the program: ``wrong-call``, ``try-later``, ``timed-out``, ``refused``, ``connection-over``,
    #: ``not-trusted`` or ``protocol-broken``.
    kind: str
    #: What it is, exactly: for example ``publish-refused``.
    name: str
    #: The Reason Code of the broker, as MQTT's own number.
    reason_code: int | None

    def __init__(self, kind: str, name: str, message: str, reason_code: int | None = None) -> None:
        super().__init__(message)
        self.kind, self.name, self.reason_code = kind, name, reason_code

    @property
    def message(self) -> str:
        """What went wrong, in words."""
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"MqttError({self.kind}, {self.name}: {self.message})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.name, self.message, self.reason_code)


def of_failure(failure: dict[str, Any]) -> MqttError:
    return MqttError(failure["kind"], failure["name"], failure["message"], failure["code"])


def wrong_call(message: str) -> MqttError:
    return MqttError("wrong-call", "invalid-argument", message)
