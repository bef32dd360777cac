"""`kernelbox start`, `stop`, `restart`, `kill`, `pause`, `unpause`, `wait`, `rename`, `update` and `rm`."""

from __future__ import annotations

from collections.abc import Callable

from kernelbox.cli.caller import engine, note
from kernelbox.cli.verbs import Given, for_each
from kernelbox.engine.container import Container
from kernelbox.engine.status import UNKNOWN_EXIT_CODE
from kernelbox.errors import ContainerNotFound, InvalidOption

__all__ = ["kill", "pause", "remove", "rename", "restart", "start", "stop", "unpause", "update", "wait"]


def start(given: Given) -> int:
    if not (given.flag("attach") or given.flag("interactive")):
        return _each(given, Container.start)
    if len(given.words) > 1:
        raise InvalidOption("only one container can be started and attached to at once")
    from kernelbox.cli.attach import start_attached

    with engine() as box:
        keys = given.values.get("detach_keys")
        return start_attached(box, given.words[0], interactive=given.flag("interactive"), detach_keys=keys)


def stop(given: Given) -> int:
    seconds, signal = given.number("time"), given.values.get("signal")
    return _each(given, lambda container: container.stop(seconds, _text(signal)), at_once=True)


def restart(given: Given) -> int:
    seconds, signal = given.number("time"), given.values.get("signal")
    return _each(given, lambda container: container.restart(seconds, _text(signal)), at_once=True)


def kill(given: Given) -> int:
    signal = given.text("signal", "KILL")
    return _each(given, lambda container: container.kill(signal))


def pause(given: Given) -> int:
    return _each(given, Container.pause)


def unpause(given: Given) -> int:
    return _each(given, Container.unpause)


def wait(given: Given) -> int:
    with engine() as box:

        def end(reference: str) -> str:
            code = box.containers.get(reference).wait()
            return str(UNKNOWN_EXIT_CODE if code is None else code)

        return for_each(given.words, end, at_once=True)


def rename(given: Given) -> int:
    reference, name = given.words
    with engine() as box:
        box.containers.get(reference).rename(name)
    return 0


def update(given: Given) -> int:
    from kernelbox.cli.request import flags_named

    if not given.values:
        raise InvalidOption("nothing to change was given", hint="kernelbox update --help lists what can be")
    with flags_named(), engine() as box:

        def change(reference: str) -> str:
            with flags_named():
                notes = box.containers.get(reference).update(**given.values)
            for sentence in notes:
                note(f"note: {sentence}")
            return reference

        return for_each(given.words, change)


def remove(given: Given) -> int:
    """As with Docker it is no failure that there is nothing to remove by force."""
    with engine() as box:

        def forget(reference: str) -> str | None:
            try:
                box.containers.get(reference).remove(force=given.flag("force"), volumes=given.flag("volumes"))
            except ContainerNotFound as error:
                if not given.flag("force"):
                    raise
                note(error.message)
                return None
            return reference

        return for_each(given.words, forget, at_once=True)


def _each(given: Given, act: Callable[[Container], object], *, at_once: bool = False) -> int:
    """Prints the words by which those were named for whom it went well."""
    with engine() as box:

        def do(reference: str) -> str:
            act(box.containers.get(reference))
            return reference

        return for_each(given.words, do, at_once=at_once)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
