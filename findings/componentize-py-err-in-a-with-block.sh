#!/usr/bin/env bash
# One would guess: in a Python component, `raise Err(value)` is how a function returns the err of its WIT result, so it
# may be raised anywhere in the function, and passes through a `with` block like any exception. And an Err that an
# imported function raises may be given a note (`add_note`) and raised again.
#
# What happens: componentize-py's Err is a frozen dataclass, so no attribute of it may be set, not even those that Python
# itself sets on exceptions. A context manager made with `contextlib.contextmanager` or an ExitStack sets
# `__traceback__`, and add_note sets `__notes__`: both raise dataclasses.FrozenInstanceError in place of the Err. It is
# no Err, so `except Err` misses it, and the function traps instead of returning the err. A class with `__enter__` and
# `__exit__`, and `raise Err(value) from cause`, do no harm.
#
# Versions: componentize-py 0.25.1, wasmtime 50.0.1 from PyPI to run the component.
#
# Why it matters: timing a publication, holding a lock, logging with a context: all that puts a with block around the
# call of an MQTT interface, and it works until the broker refuses something for the first time.
#
# Needs python 3.10 or newer with venv and pip. The component only says what it catches: nothing traps here.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet componentize-py==0.25.1 wasmtime==50.0.1
venv/bin/pip list 2>/dev/null | grep -E '^(componentize-py|wasmtime) '

cat > errors.wit <<'WIT'
package finding:errors;

interface broker {
  publish: func(topic: string) -> result<u32, string>;
}

world component {
  import broker;
  export attempt: func(way: string) -> string;
}
WIT

cat > app.py <<'PY'
import contextlib

from componentize_py_types import Err
from wit_world.imports import broker


@contextlib.contextmanager
def span(name):
    yield


class Span:
    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return False


def plain():
    broker.publish("a/b")


def raised_by_hand():
    raise Err("not authorized")


def raised_from_a_cause():
    try:
        [][0]
    except IndexError as cause:
        raise Err("not authorized") from cause


def with_a_class():
    with Span():
        broker.publish("a/b")


def with_a_generator():
    with span("publish"):
        broker.publish("a/b")


def with_a_generator_by_hand():
    with span("publish"):
        raise Err("not authorized")


def with_an_exit_stack():
    with contextlib.ExitStack() as stack:
        stack.enter_context(Span())
        broker.publish("a/b")


def with_a_note():
    try:
        broker.publish("a/b")
    except Err as error:
        error.add_note("while publishing to a/b")
        raise


class WitWorld:
    def attempt(self, way):
        try:
            globals()[way]()
        except Err as error:
            return f"Err: {error.value}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "nothing raised"
PY
venv/bin/componentize-py --wit-path errors.wit --world component componentize app --output app.wasm > build.log 2>&1 || {
  cat build.log
  exit 1
}

cat > run.py <<'PY'
from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

WAYS = [
    "plain",
    "raised_by_hand",
    "raised_from_a_cause",
    "with_a_class",
    "with_a_generator",
    "with_a_generator_by_hand",
    "with_an_exit_stack",
    "with_a_note",
]

engine = Engine()
component = Component.from_file(engine, "app.wasm")
linker = Linker(engine)
linker.add_wasip2()
with linker.root() as root, root.add_instance("finding:errors/broker") as broker:
    # The host's side of wasmtime takes a str for the err of result<u32, string>.
    broker.add_func("publish", lambda store, topic: "not authorized")

for way in WAYS:
    store = Store(engine)
    store.set_wasi(WasiConfig())
    attempt = linker.instantiate(store, component).get_func(store, "attempt")
    print(f"{way:<25} {attempt(store, way)}")
PY

cat > expected <<'TABLE'
plain                     Err: not authorized
raised_by_hand            Err: not authorized
raised_from_a_cause       Err: not authorized
with_a_class              Err: not authorized
with_a_generator          FrozenInstanceError: cannot assign to field '__traceback__'
with_a_generator_by_hand  FrozenInstanceError: cannot assign to field '__traceback__'
with_an_exit_stack        Err: not authorized
with_a_note               FrozenInstanceError: cannot assign to field '__notes__'
TABLE

venv/bin/python run.py > seen
cat seen
if ! diff expected seen; then
  echo "CHANGED: this is no longer what happens"
  exit 1
fi
echo "as described"
