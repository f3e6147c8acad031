#!/usr/bin/env bash
# One would guess: a host in Python answers an import of type `result<option<string>, u8>` with a str, None or an int,
# since wasmtime-py takes the plain value of a case where its Python type tells which case it is, and else a
# `Variant("err", value)`. A number that does not fit its type is an error.
#
# What happens: err cannot be answered at all if ok is an option. None may be an `object`, so every value is taken for
# ok, and then does not fit: ValueError, for an int as well as for a Variant, and the component traps. With
# `result<option<u32>, bool>` there is not even an error: a bool is an int in Python too, so `True`, which is meant as
# err(true), arrives as ok(some(1)). So it does with `result<u32, bool>`. Only where both have the same Python type, as
# in `result<option<string>, string>`, a Variant is demanded, and err works. And 300 is 44 as u8, -1 is 4294967295 as
# u32.
#
# Versions: wasmtime (PyPI) 50.0.1.
#
# Why it matters: "a value, or none yet, or an error" is what reading functions return: `get` of wasi:keyvalue and of
# wasi:config, and in an MQTT interface what waits for the next event. A host of these in Python, or a double for tests,
# cannot report an error.
#
# Needs python3 with pip.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > host.py <<'PY'
import importlib.metadata

from wasmtime import Engine, Store
from wasmtime.component import Component, Linker, Variant

# Calls the import, and returns the first byte of what it gets, which tells the case: 0 for ok, 1 for err. What follows
# is at 4: of ok(option), 0 for none and 1 for some.
RESULT = """
(component
  (type $failure (variant (case "lost" string) (case "refused" string)))
  (import "failure" (type $public (eq $failure)))
  (import "read" (func $read (result TYPE)))
  (core module $memory
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
  (core instance $memory (instantiate $memory))
  (core func $lowered (canon lower (func $read) (memory (core memory $memory "memory"))
    (realloc (core func $memory "realloc"))))
  (core module $caller
    (import "host" "read" (func $read (param i32)))
    (import "host" "memory" (memory 1))
    (func (export "run") (result i32) (call $read (i32.const 16)) (i32.load8_u (i32.const 16))))
  (core instance $caller (instantiate $caller
    (with "host" (instance (export "read" (func $lowered)) (export "memory" (memory $memory "memory"))))))
  (func (export "run") (result u32) (canon lift (core func $caller "run"))))
"""

# Returns the number that it gets.
NUMBER = """
(component
  (import "read" (func $read (result TYPE)))
  (core func $lowered (canon lower (func $read)))
  (core module $caller
    (import "host" "read" (func $read (result i32)))
    (func (export "run") (result i32) call $read))
  (core instance $caller (instantiate $caller (with "host" (instance (export "read" (func $lowered))))))
  (func (export "run") (result u32) (canon lift (core func $caller "run"))))
"""

engine = Engine()


def shown(value):
    return f"{value.tag}({shown(value.payload)})" if isinstance(value, Variant) else repr(value)


def answer(text, wit, wat, value):
    """What the component sees if the host answers with the value."""
    store, linker = Store(engine), Linker(engine)
    with linker.root() as root:
        root.add_func("read", lambda _: value)
    component = Component(engine, text.replace("TYPE", wat))
    try:
        seen = linker.instantiate(store, component).get_func(store, "run")(store)
        seen = ["ok", "err"][seen] if text is RESULT else seen
    except (TypeError, ValueError) as error:
        seen = type(error).__name__
    print(f"{wit:32} {shown(value):31} {seen}")


lost, err = Variant("lost", "why"), Variant("err", "why")
print("wasmtime", importlib.metadata.version("wasmtime"))
for wit, wat, values in (
    ("result<string, u8>", "(result string (error u8))", ["text", 5]),
    ("result<option<string>, u8>", "(result (option string) (error u8))", ["text", None, 5, Variant("err", 5)]),
    ("result<option<string>, failure>", "(result (option string) (error $public))", [None, lost, Variant("err", lost)]),
    ("result<option<string>, string>", "(result (option string) (error string))", [Variant("ok"), err]),
    ("result<option<u32>, bool>", "(result (option u32) (error bool))", [7, True]),
    ("result<u32, bool>", "(result u32 (error bool))", [7, True]),
):
    for value in values:
        answer(RESULT, wit, wat, value)
for wit, value in (("u8", 300), ("u32", -1)):
    answer(NUMBER, wit, wit, value)
PY

cat > expected <<'TABLE'
wasmtime 50.0.1
result<string, u8>               'text'                          ok
result<string, u8>               5                               err
result<option<string>, u8>       'text'                          ok
result<option<string>, u8>       None                            ok
result<option<string>, u8>       5                               ValueError
result<option<string>, u8>       err(5)                          ValueError
result<option<string>, failure>  None                            ok
result<option<string>, failure>  lost('why')                     ValueError
result<option<string>, failure>  err(lost('why'))                ValueError
result<option<string>, string>   ok(None)                        ok
result<option<string>, string>   err('why')                      err
result<option<u32>, bool>        7                               ok
result<option<u32>, bool>        True                            ok
result<u32, bool>                7                               ok
result<u32, bool>                True                            ok
u8                               300                             44
u32                              -1                              4294967295
TABLE

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check wasmtime==50.0.1
python/bin/python host.py | tee seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
