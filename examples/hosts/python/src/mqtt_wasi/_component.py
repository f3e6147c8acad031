"""The component as Python calls it.

The core module is taken out of the component, and instantiated by wasmtime's interface for core modules. Its interface
for components converts lists element by element, and version 50.0.1 traps when a component lends a resource to its
host.
"""

from __future__ import annotations

import json
import threading
from importlib import resources
from typing import Any, cast

import wasmtime

from ._canonical import Function, Memory, Types, Unpassable
from ._error import MqttError, of_failure
from ._wasi import Network

_MQTT = "mqtt-wasi:client/mqtt@0.1.0"
_BULK = "mqtt-wasi:client/bulk@0.1.0"
_EXPORTED = "[export]" + _MQTT

_CORE_MODULE = 1


class _Compiled:
    """A component, compiled once in a process."""

    def __init__(self, name: str) -> None:
        files = resources.files(__package__)
        described = json.loads((files / f"{name}.abi.json").read_text("utf-8"))
        self.names: dict[str, str] = described["names"]
        self.long_names = {short: long for long, short in self.names.items()}
        self.types: dict[str, Any] = described["types"]
        self.functions: dict[str, Any] = described["functions"]
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, _core_module((files / f"{name}.wasm").read_bytes()))


_compiled: dict[str, _Compiled] = {}
_compiling = threading.Lock()


def _component(name: str) -> _Compiled:
    with _compiling:
        if name not in _compiled:
            _compiled[name] = _Compiled(name)
        return _compiled[name]


def _core_module(component: bytes) -> bytes:
    """The first core module of a component: the one that does the work. The others only pass calls on."""
    at = 8
    while at < len(component):
        section = component[at]
        length, at = _leb128(component, at + 1)
        if section == _CORE_MODULE:
            return component[at : at + length]
        at += length
    raise ValueError("the component has no core module")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


class Instance:
    """An instance of the component, which has one client. Not to be called by two threads at the same time."""

    def __init__(self, name: str, network: Network) -> None:
        self._compiled = compiled = _component(name)
        self._network = network
        self._store = store = wasmtime.Store(compiled.engine)
        self._reps: dict[int, int] = {}
        self._functions: dict[str, Function] = {}
        self._is_broken = False
        functions = {**network.functions(), **self._own_resources()}
        imports = []
        for each in compiled.module.imports:
            key = compiled.long_names[each.module], compiled.long_names[each.name or ""]
            imports.append(wasmtime.Func(store, cast(wasmtime.FuncType, each.type), functions[key]))
        self._exports = wasmtime.Instance(store, compiled.module, imports).exports(store)
        realloc, memory = self._core("cabi_realloc"), self._core("memory")
        self._memory = network.memory = Memory(store, memory, realloc)
        self._types = Types(compiled.types, lambda _, handle: self._reps.pop(handle))

    def _own_resources(self) -> dict[tuple[str, str], Any]:
        """The component's own resources: it keeps a number for each, and hands out others."""

        def new(rep: int) -> int:
            handle = max(self._reps, default=0) + 1
            self._reps[handle] = rep
            return handle

        def drop(handle: int) -> None:
            self._destroy("client", self._reps.pop(handle))

        functions: dict[tuple[str, str], Any] = {}
        for resource in ("client", "connect-options"):
            functions[_EXPORTED, f"[resource-new]{resource}"] = new
            functions[_EXPORTED, f"[resource-rep]{resource}"] = lambda handle: self._reps[handle]
            functions[_EXPORTED, f"[resource-drop]{resource}"] = drop
        return functions

    def _core(self, name: str, or_else: Any = KeyError) -> Any:
        short = self._compiled.names.get(name)
        try:
            return self._exports[short or name]
        except KeyError:
            if or_else is KeyError:
                raise
            return or_else

    def call(self, name: str, *values: Any) -> Any:
        """Calls a function of the interface `mqtt`, or `bulk#` another; its failure is raised."""
        function = self._functions.get(name)
        if function is None:
            full = name.replace("bulk#", _BULK + "#") if name.startswith("bulk#") else f"{_MQTT}#{name}"
            function = self._functions[name] = self._function(full)
        if self._is_broken:
            raise MqttError(
                "connection-over", "not-connected", "a call was interrupted, so this client is over: connect a new one"
            )
        try:
            result = function(*values)
        except Unpassable as error:
            raise MqttError("wrong-call", "invalid-argument", f"a value cannot be passed on: {error}") from None
        except BaseException:
            # The component stopped in the middle of a call: nobody can know in what state.
            self._is_broken = True
            self._network.close()
            raise
        if isinstance(result, tuple) and len(result) == 2 and result[0] in ("ok", "err"):
            if result[0] == "err":
                raise of_failure(result[1])
            return result[1]
        return result

    def drop(self, resource: str, rep: int) -> None:
        if not self._is_broken:
            self._destroy(resource, rep)

    def _destroy(self, resource: str, rep: int) -> None:
        self._core(f"{_MQTT}#[dtor]{resource}")(self._store, rep)

    def _function(self, name: str) -> Function:
        described = self._compiled.functions[name]
        params = [self._types.make(each) for each in described["params"]]
        result = self._types.make(described["result"])
        core, after = self._core(name), self._core(f"cabi_post_{name}", None)
        return Function(self._store, self._memory, core, after, params, result)  # type: ignore[arg-type]
