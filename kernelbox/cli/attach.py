"""`kernelbox attach`, and `start` with -a or -i: our terminal becomes the container's."""

from __future__ import annotations

from collections.abc import Sequence

from kernelbox.cli.keys import DetachKeys
from kernelbox.cli.request import DETACH_KEYS, HELP
from kernelbox.cli.watching import watch
from kernelbox.engine.arguments import parse_arguments
from kernelbox.engine.engine import Engine
from kernelbox.engine.option_table import Option
from kernelbox.engine.starting import options_of
from kernelbox.errors import InvalidOption

__all__ = ["ATTACH_OPTIONS", "main", "start_attached"]

ATTACH_OPTIONS = (
    Option("help", ("-h", *HELP.flags), "flag", "", HELP.help, "general"),
    Option("no_stdin", ("--no-stdin",), "flag", "", "do not connect its standard input", "general"),
    Option("sig_proxy", ("--sig-proxy",), "flag", "", "pass signals on to the command", "general", "true"),
    DETACH_KEYS,
)


def main(words: Sequence[str]) -> int:
    """Returns the container's exit code. Raises KernelBoxError."""
    values, rest = parse_arguments(words, ATTACH_OPTIONS)
    if values.get("help"):
        from kernelbox.cli.app import show_help

        return show_help("attach")
    if len(rest) != 1:
        raise InvalidOption("attach needs one container", hint="kernelbox attach [OPTIONS] CONTAINER")
    keys = _keys(values.get("detach_keys"))
    with Engine() as box:
        container = box.containers.get(rest[0])
        return watch(
            container,
            lambda on_output: container.attach(on_output=on_output),
            interactive=options_of(container.record).interactive and not values.get("no_stdin"),
            keys=keys,
            sig_proxy=values.get("sig_proxy", True) is not False,
        )


def start_attached(box: Engine, name: str, *, interactive: bool, detach_keys: object = None) -> int:
    """`start -a`: starts the container with our streams; its exit code. Raises KernelBoxError."""
    container = box.containers.get(name)
    return watch(
        container,
        lambda on_output: container.start_attached(on_output=on_output),
        interactive=interactive and options_of(container.record).interactive,
        keys=_keys(detach_keys),
    )


def _keys(text: object) -> DetachKeys:
    return DetachKeys(str(text) if text else None)
