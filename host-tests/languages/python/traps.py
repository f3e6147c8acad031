"""What goes wrong with the bindings alone, and not with the layer: see examples/guests/python/README.md."""

from command import command
from mqtt import connect
from wit_world import exports
from wit_world.imports import environment
from wit_world.imports.mqtt import ConnectOptions
from wit_world.imports.mqtt import connect as raw_connect

PASSWORD = "geheim für alle"


def raw(url: str, has_password: bool) -> None:
    options = ConnectOptions()
    options.set_user_name("thermometer")
    if has_password:
        options.set_password(PASSWORD)  # type: ignore
    raw_connect(url, options)


def layered(args: list[str]) -> None:
    connect(args[0], user_name="thermometer", password=PASSWORD)


class Run(exports.Run):
    def run(self) -> None:
        _, url, how = environment.get_arguments()
        if how == "layered":
            command(layered)().run()
        else:
            raw(url, has_password=how == "raw-password")
