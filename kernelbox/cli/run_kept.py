"""`kernelbox run` of a container that is kept when it ends, or goes on in the background."""

from __future__ import annotations

import os

from kernelbox.cli.caller import engine
from kernelbox.cli.failures import say
from kernelbox.cli.keys import DetachKeys
from kernelbox.cli.request import Request
from kernelbox.cli.watching import watch
from kernelbox.engine.container import Container
from kernelbox.errors import InvalidOption, KernelBoxError

__all__ = ["run"]


def run(request: Request) -> int:
    """Returns the exit code. Raises KernelBoxError."""
    detach, keys = "detach" in request.own, _keys(request)
    if request.options.timeout is not None and detach:
        raise InvalidOption(
            "--timeout: nobody waits for a container in the background", hint="leave out --timeout or -d"
        )
    with engine() as box:
        given = {name: value for name, value in request.given.items() if name not in ("name", "timeout")}
        container = box.containers.create(
            request.image,
            request.command,
            name=request.options.name,
            auto_remove="rm" in request.own,
            **given,
        )
        _write_id(request, container)
        try:
            if detach:
                container.start()
                print(container.id)
                return 0
            return _attached(request, container, keys)
        except KernelBoxError:
            if "rm" in request.own:
                container.remove(force=True)
            raise
        finally:
            for note in container.folder.start_notes().notes:
                say(f"note: {note}")


def _keys(request: Request) -> DetachKeys:
    text = request.values.get("detach_keys")
    return DetachKeys(str(text) if text else None)


def _write_id(request: Request, container: Container) -> None:
    path = request.values.get("cidfile")
    if path:
        with open(os.fspath(str(path)), "x") as file:
            file.write(container.id)


def _attached(request: Request, container: Container, keys: DetachKeys) -> int:
    if request.options.interactive and request.options.tty:
        from kernelbox.cli.terminal import check_keyboard

        check_keyboard()
    return watch(
        container,
        lambda on_output: container.start_attached(on_output=on_output),
        interactive=request.options.interactive,
        keys=keys,
        once=True,
        sig_proxy=request.values.get("sig_proxy", True) is not False,
        timeout=request.options.timeout,
    )
