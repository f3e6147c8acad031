"""What a program needs that is run by `wasmtime run`: its arguments, and words when it fails. Copy it as mqtt.py.

    Run = command(lambda args: print("hello", *args))
"""

import sys
import traceback
from collections.abc import Callable

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import environment


def command(main: Callable[[list[str]], None]) -> type[exports.Run]:
    """Makes a command of a function that takes the arguments of the program. What it raises is printed."""

    class Run(exports.Run):
        def run(self) -> None:
            try:
                main(environment.get_arguments()[1:])
            except SystemExit as exit:
                if exit.code:
                    print(exit.code, file=sys.stderr)
                    raise Err(None) from None
            except BaseException:
                # What is raised from here ends the program with exit code 1, and without a word.
                traceback.print_exc()
                raise Err(None) from None
            finally:
                sys.stdout.flush()

    return Run
