"""`kernelbox inspect`: everything that is known of containers, images and volumes."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable

from kernelbox.cli.caller import engine, tell
from kernelbox.cli.templates import fields_of, render
from kernelbox.cli.verbs import Given
from kernelbox.engine.engine import Engine
from kernelbox.engine.observing import attributes
from kernelbox.errors import ContainerNotFound, ImageNotFound, InvalidOption, KernelBoxError

__all__ = ["KINDS", "document", "inspect", "show"]

KINDS = ("container", "image", "volume")
_KINDS = ", ".join(KINDS)


def inspect(given: Given) -> int:
    """Of whatever has that name: a container first, then an image, then a volume."""
    if given.text("type") not in ("", *KINDS):
        raise InvalidOption(f"--type: there is no {given.text('type')!r} to look at", hint=f"there is: {_KINDS}")
    return show(given, lambda box, reference: document(box, reference, given))


def show(given: Given, look: Callable[[Engine, str], dict[str, object]]) -> int:
    """What `look` finds for each word: an array of JSON, or with a template a line for each; then what could not be
    found."""
    template = given.text("format")
    found, failures = _documents(given, look)
    if template in ("", "json"):
        sys.stdout.write(_array(found) if not template else f"{_line(found)}\n")
    else:
        for each in found:
            sys.stdout.write(f"{render(template, fields_of(each))}\n")
    sys.stdout.flush()
    for error in failures:
        tell(error)
    return 1 if failures else 0


def _documents(
    given: Given, look: Callable[[Engine, str], dict[str, object]]
) -> tuple[list[dict[str, object]], list[KernelBoxError]]:
    found, failures = [], []
    with engine() as box:
        for reference in given.words:
            try:
                found.append(look(box, reference))
            except KernelBoxError as error:
                failures.append(error)
    return found, failures


def document(box: Engine, reference: str, given: Given) -> dict[str, object]:
    """Of what has that name and is of the kind that is meant, if one is. Raises KernelBoxError."""
    kind = given.text("type")
    if kind == "volume":
        return box.volumes.get(reference).attrs
    if kind == "image":
        return box.images.get(reference).attrs
    try:
        return attributes(box.containers.get(reference), size=given.flag("size"))
    except ContainerNotFound:
        if kind:
            raise
        with contextlib.suppress(ImageNotFound, InvalidOption):
            return box.images.get(reference).attrs
        if reference not in box.volumes.names():
            raise
    return box.volumes.get(reference).attrs


def _array(found: list[dict[str, object]]) -> str:
    return json.dumps(found, indent=4, ensure_ascii=False) + "\n"


def _line(found: list[dict[str, object]]) -> str:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
