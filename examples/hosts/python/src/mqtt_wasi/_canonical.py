"""Values in the memory of a component: the canonical ABI of the component model, for the types of this interface.

Python has ``str``, ``bytes``, ``int``, ``bool``, ``None``, tuples and lists; a record is a dictionary, an enum its
name, a variant a tuple of name and value, flags a set of names. Names are those of WIT, with ``_`` for ``-``.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any, Callable

_MASK = 0xFFFFFFFF

#: More parameters than this are passed in memory.
_MOST_PARAMETERS = 16


class Memory:
    """The memory of an instance."""

    def __init__(self, store: Any, memory: Any, realloc: Any) -> None:
        self._store = store
        self._memory = memory
        self._realloc = realloc
        self._length = -1
        self.view = memoryview(b"")

    def refresh(self) -> memoryview:
        """Returns the memory as it is now. It may have grown since, whenever the component was called."""
        length = self._memory.data_len(self._store)
        if length != self._length:
            address = ctypes.addressof(self._memory.data_ptr(self._store).contents)
            self.view = memoryview((ctypes.c_ubyte * length).from_address(address)).cast("B")
            self._length = length
        return self.view

    def allocate(self, size: int, align: int) -> int:
        if size == 0:
            return align
        at: int = self._realloc(self._store, 0, 0, align, size) & _MASK
        self.refresh()
        return at

    def place(self, data: bytes | bytearray | memoryview) -> tuple[int, int]:
        """Copies bytes into new memory; returns where they are and how many."""
        size = len(data)
        at = self.allocate(size, 1)
        self.view[at : at + size] = data
        return at, size


class Type:
    """A type: how large it is, and how its values are written, read and passed."""

    size: int
    align: int
    #: How many core values it is passed as.
    flat: int

    def load(self, memory: Memory, at: int) -> Any:
        raise NotImplementedError

    def store(self, memory: Memory, at: int, value: Any) -> None:
        raise NotImplementedError

    def lower(self, memory: Memory, value: Any, out: list[int]) -> None:
        """Appends the core values."""
        raise NotImplementedError


class Number(Type):
    def __init__(self, code: str) -> None:
        self._struct = struct.Struct("<" + code)
        self.size = self.align = self._struct.size
        self.flat = 1
        self.most: int = 256**self.size - 1

    def load(self, memory: Memory, at: int) -> int:
        number: int = self._struct.unpack_from(memory.view, at)[0]
        return number

    def store(self, memory: Memory, at: int, value: int) -> None:
        self._struct.pack_into(memory.view, at, self._checked(value))

    def lower(self, memory: Memory, value: int, out: list[int]) -> None:
        out.append(self._checked(value))

    def lift(self, core: int) -> int:
        return core & self.most

    def _checked(self, value: int) -> int:
        if type(value) is not int or not 0 <= value <= self.most:
            raise ValueError(f"a whole number from 0 to {self.most} is wanted, and not {_shown(value)}")
        return value


class Bool(Type):
    size = align = flat = 1

    def load(self, memory: Memory, at: int) -> bool:
        return memory.view[at] != 0

    def store(self, memory: Memory, at: int, value: bool) -> None:
        memory.view[at] = bool(value)

    def lower(self, memory: Memory, value: bool, out: list[int]) -> None:
        out.append(int(bool(value)))

    def lift(self, core: int) -> bool:
        return core != 0


class Handle(Type):
    """A resource of the component. It is passed to it by its own number for it, and comes from it by a handle."""

    size = align = 4
    flat = 1

    def __init__(self, take: Callable[[int], int]) -> None:
        self._take = take

    def load(self, memory: Memory, at: int) -> int:
        return self.lift(_U32.load(memory, at))

    def store(self, memory: Memory, at: int, value: int) -> None:
        _U32.store(memory, at, value)

    def lower(self, memory: Memory, value: int, out: list[int]) -> None:
        out.append(value)

    def lift(self, core: int) -> int:
        return self._take(core & _MASK)


class Array(Type):
    """A pointer, and a length."""

    size, align, flat = 8, 4, 2
    _struct = struct.Struct("<II")

    def load(self, memory: Memory, at: int) -> Any:
        return self._take(memory, *self._struct.unpack_from(memory.view, at))

    def store(self, memory: Memory, at: int, value: Any) -> None:
        self._struct.pack_into(memory.view, at, *self._place(memory, value))

    def lower(self, memory: Memory, value: Any, out: list[int]) -> None:
        out.extend(self._place(memory, value))

    def _take(self, memory: Memory, at: int, length: int) -> Any:
        raise NotImplementedError

    def _place(self, memory: Memory, value: Any) -> tuple[int, int]:
        raise NotImplementedError


class String(Array):
    def _take(self, memory: Memory, at: int, length: int) -> str:
        return str(memory.view[at : at + length], "utf-8")

    def _place(self, memory: Memory, value: str) -> tuple[int, int]:
        if not isinstance(value, str):
            raise ValueError(f"text is wanted, and not {_shown(value)}")
        return memory.place(value.encode())


class Bytes(Array):
    """A list of bytes: copied in one piece."""

    def _take(self, memory: Memory, at: int, length: int) -> bytes:
        return bytes(memory.view[at : at + length])

    def _place(self, memory: Memory, value: bytes | bytearray | memoryview) -> tuple[int, int]:
        if isinstance(value, memoryview):
            value = value.cast("B") if value.contiguous else value.tobytes()
        elif not isinstance(value, (bytes, bytearray)):
            raise ValueError(f"bytes are wanted, and not {_shown(value)}")
        return memory.place(value)


class Words(Array):
    """A list of 64-bit words: as bytes, least significant first, copied in one piece."""

    def _take(self, memory: Memory, at: int, length: int) -> bytes:
        return bytes(memory.view[at : at + 8 * length])

    def _place(self, memory: Memory, value: bytes | bytearray) -> tuple[int, int]:
        at = memory.allocate(len(value), 8)
        memory.view[at : at + len(value)] = value
        return at, len(value) // 8


class List(Array):
    def __init__(self, item: Type) -> None:
        self._item = item

    def _take(self, memory: Memory, at: int, length: int) -> list[Any]:
        load, size = self._item.load, self._item.size
        return [load(memory, at + size * index) for index in range(length)]

    def _place(self, memory: Memory, value: list[Any]) -> tuple[int, int]:
        store, size = self._item.store, self._item.size
        at = memory.allocate(len(value) * size, self._item.align)
        for index, item in enumerate(value):
            store(memory, at + size * index, item)
        return at, len(value)


class Record(Type):
    def __init__(self, fields: list[tuple[str, Type]]) -> None:
        self._fields = []
        at, self.align = 0, 1
        for name, ty in fields:
            at = _aligned(at, ty.align)
            self._fields.append((name, ty, at))
            at += ty.size
            self.align = max(self.align, ty.align)
        self.size = _aligned(at, self.align)
        self.flat = sum(ty.flat for _, ty in fields)

    def load(self, memory: Memory, at: int) -> Any:
        return {name: ty.load(memory, at + offset) for name, ty, offset in self._fields}

    def store(self, memory: Memory, at: int, value: Any) -> None:
        for name, ty, offset in self._fields:
            ty.store(memory, at + offset, value[name])

    def lower(self, memory: Memory, value: Any, out: list[int]) -> None:
        for name, ty, _ in self._fields:
            ty.lower(memory, value[name], out)


class Tuple(Record):
    def load(self, memory: Memory, at: int) -> tuple[Any, ...]:
        return tuple(ty.load(memory, at + offset) for _, ty, offset in self._fields)

    def store(self, memory: Memory, at: int, value: Any) -> None:
        for (_, ty, offset), item in zip(self._fields, value):
            ty.store(memory, at + offset, item)

    def lower(self, memory: Memory, value: Any, out: list[int]) -> None:
        for (_, ty, _), item in zip(self._fields, value):
            ty.lower(memory, item, out)


class Variant(Type):
    def __init__(self, cases: list[tuple[str, Type | None]]) -> None:
        self._cases = cases
        self._indices = {name: index for index, (name, _) in enumerate(cases)}
        payloads = [ty for _, ty in cases if ty]
        self._tag = _U8 if len(cases) <= 256 else _U16
        self.align = max([self._tag.align] + [ty.align for ty in payloads])
        self._offset = _aligned(self._tag.size, max([1] + [ty.align for ty in payloads]))
        self.size = _aligned(self._offset + max([0] + [ty.size for ty in payloads]), self.align)
        self.flat = 1 + max([0] + [ty.flat for ty in payloads])

    def load(self, memory: Memory, at: int) -> Any:
        name, ty = self._cases[self._tag.load(memory, at)]
        return self._join(name, ty.load(memory, at + self._offset) if ty else None)

    def store(self, memory: Memory, at: int, value: Any) -> None:
        index, payload = self._split(value)
        self._tag.store(memory, at, index)
        ty = self._cases[index][1]
        if ty:
            ty.store(memory, at + self._offset, payload)

    def lower(self, memory: Memory, value: Any, out: list[int]) -> None:
        index, payload = self._split(value)
        end = len(out) + self.flat
        out.append(index)
        ty = self._cases[index][1]
        if ty:
            ty.lower(memory, payload, out)
        out.extend([0] * (end - len(out)))

    def lift(self, core: int) -> Any:
        return self._join(self._cases[core & _MASK][0], None)

    def _join(self, name: str, payload: Any) -> Any:
        return name, payload

    def _split(self, value: Any) -> tuple[int, Any]:
        name, payload = value
        return self._indices[name], payload


class Enum(Variant):
    def __init__(self, names: list[str]) -> None:
        super().__init__([(name, None) for name in names])

    def _join(self, name: str, payload: Any) -> str:
        return name

    def _split(self, value: str) -> tuple[int, None]:
        return self._indices[value], None


class Option(Variant):
    def __init__(self, some: Type) -> None:
        super().__init__([("none", None), ("some", some)])

    def _join(self, name: str, payload: Any) -> Any:
        return payload

    def _split(self, value: Any) -> tuple[int, Any]:
        return (0, None) if value is None else (1, value)


class Flags(Type):
    flat = 1

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._bits = _U8 if len(names) <= 8 else _U16 if len(names) <= 16 else _U32
        self.size = self.align = self._bits.size

    def load(self, memory: Memory, at: int) -> set[str]:
        return self.lift(self._bits.load(memory, at))

    def store(self, memory: Memory, at: int, value: set[str]) -> None:
        self._bits.store(memory, at, self._number(value))

    def lower(self, memory: Memory, value: set[str], out: list[int]) -> None:
        out.append(self._number(value))

    def lift(self, core: int) -> set[str]:
        return {name for bit, name in enumerate(self._names) if core >> bit & 1}

    def _number(self, value: set[str]) -> int:
        return sum(1 << self._names.index(name) for name in value)


_U8, _U16, _U32, _U64 = Number("B"), Number("H"), Number("I"), Number("Q")


class Types:
    """Makes types of their descriptions. ``take`` turns a handle into the component's own number."""

    def __init__(self, described: dict[str, Any], take: Callable[[str, int], int]) -> None:
        self._described = described
        self._take = take
        self._made: dict[str, Type] = {}
        self._simple: dict[str, Type] = {
            "bool": Bool(),
            "u8": _U8,
            "u16": _U16,
            "u32": _U32,
            "u64": _U64,
            "string": String(),
        }

    def make(self, description: Any) -> Type | None:
        if description is None:
            return None
        if isinstance(description, str):
            return self._simple[description]
        ((kind, what),) = description.items()
        if kind == "type":
            if what not in self._made:
                made = self.make(self._described[what])
                assert made
                self._made[what] = made
            return self._made[what]
        made_of: Callable[[Any], Type] = getattr(self, "_make_" + kind)
        return made_of(what)

    def _some(self, description: Any) -> Type:
        made = self.make(description)
        assert made
        return made

    def _make_list(self, item: Any) -> Type:
        if item == "u8":
            return Bytes()
        return Words() if item == "u64" else List(self._some(item))

    def _make_option(self, some: Any) -> Type:
        return Option(self._some(some))

    def _make_result(self, cases: list[Any]) -> Type:
        ok, err = cases
        return Variant([("ok", self.make(ok)), ("err", self.make(err))])

    def _make_tuple(self, items: list[Any]) -> Type:
        return Tuple([(str(index), self._some(item)) for index, item in enumerate(items)])

    def _make_record(self, fields: list[Any]) -> Type:
        return Record([(_pythonic(name), self._some(ty)) for name, ty in fields])

    def _make_variant(self, cases: list[Any]) -> Type:
        return Variant([(_pythonic(name), self.make(ty)) for name, ty in cases])

    def _make_enum(self, names: list[str]) -> Type:
        return Enum(names)

    def _make_flags(self, names: list[str]) -> Type:
        return Flags([_pythonic(name) for name in names])

    def _make_own(self, resource: str) -> Type:
        return Handle(lambda handle: self._take(resource, handle))

    _make_borrow = _make_own


class Unpassable(Exception):
    """A value that the component has no form for. It was not called."""


class Function:
    """A function of the component, with values in and out."""

    def __init__(
        self, store: Any, memory: Memory, core: Any, after: Any, params: list[Type], result: Type | None
    ) -> None:
        self._store, self._memory, self._core, self._after = store, memory, core, after
        self._params = params
        self._result = result
        self._is_spilled = sum(ty.flat for ty in params) > _MOST_PARAMETERS
        self._arguments = Tuple([(str(index), ty) for index, ty in enumerate(params)])

    def __call__(self, *values: Any) -> Any:
        memory = self._memory
        memory.refresh()
        try:
            flat = self._lower(values)
        except (ValueError, KeyError, TypeError) as error:
            raise Unpassable(str(error)) from None
        core = self._core(self._store, *flat)
        if self._result is None:
            return None
        memory.refresh()
        if self._result.flat <= 1:
            return self._result.lift(core)  # type: ignore[attr-defined]
        result = self._result.load(memory, core & _MASK)
        if self._after:
            self._after(self._store, core)
        return result

    def _lower(self, values: tuple[Any, ...]) -> list[int]:
        flat: list[int] = []
        if self._is_spilled:
            at = self._memory.allocate(self._arguments.size, self._arguments.align)
            self._arguments.store(self._memory, at, values)
            return [at]
        for ty, value in zip(self._params, values):
            ty.lower(self._memory, value, flat)
        return flat


def _aligned(at: int, align: int) -> int:
    return (at + align - 1) // align * align


def _pythonic(name: str) -> str:
    return name.replace("-", "_")


def _shown(value: object) -> str:
    """A value in an error text: not what is in it, which may be secret."""
    return str(value) if type(value) in (int, float, bool, type(None)) else type(value).__name__
