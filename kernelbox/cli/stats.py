"""`kernelbox stats`: what containers use, once or again every second."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from kernelbox.cli.caller import engine
from kernelbox.cli.template_values import Row
from kernelbox.cli.templates import render_rows
from kernelbox.cli.verbs import Given
from kernelbox.engine import stats as samples
from kernelbox.engine.container import Container
from kernelbox.engine.engine import Engine
from kernelbox.engine.stats import Sample
from kernelbox.engine.temporary import TemporaryContainer
from kernelbox.errors import Conflict, ContainerNotFound

__all__ = ["SECOND", "chosen", "redrawn", "samples_of", "stats"]

SECOND = 1.0
"""Seconds between two samples, as in Docker."""
_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_TABLE = "table " + "\\t".join(f"{{{{.{name}}}}}" for name in _HEADERS if name != "Container")
_TOP, _REST_OF_LINE, _REST = "\033[H", "\033[K", "\033[J"
_CLEAR = "\033[2J"

Samples = Mapping[str, Sample]


def stats(given: Given) -> int:
    template = given.text("format")
    template = _TABLE if template in ("", "table") else template
    with engine() as box:
        before = samples_of(chosen(box, given))
        screen = not given.flag("no_stream") and sys.stdout.isatty()
        sys.stdout.write(_CLEAR if screen else "")
        while True:
            time.sleep(SECOND)
            containers = chosen(box, given)
            now = samples_of(containers)
            text = render_rows(template, _rows(given, containers, now, before), _HEADERS)
            sys.stdout.write(redrawn(text) if screen else text)
            sys.stdout.flush()
            if given.flag("no_stream"):
                return 0
            before = now


def chosen(box: Engine, given: Given) -> Sequence[tuple[str, Container]]:
    """The containers that were asked for, with the words by which they are called: kept ones, of others nothing is
    counted before their end. Raises ContainerNotFound."""
    if not given.words:
        found = box.containers.list(all=given.flag("all"))
        return [(each.id, each) for each in found if not isinstance(each, TemporaryContainer)]
    return [(word, box.containers.get(word)) for word in given.words]


def samples_of(containers: Sequence[tuple[str, Container]]) -> Samples:
    """Of those that run, by id."""
    found = {}
    for _, container in containers:
        if container.record.living:
            with suppress(Conflict, ContainerNotFound):  # it has just ended
                found[container.id] = container.sample()
    return found


def _rows(
    given: Given, containers: Sequence[tuple[str, Container]], now: Samples, before: Samples
) -> list[Mapping[str, object]]:
    return [
        Row(
            {
                "Container": word if given.words or given.flag("no_trunc") else container.short_id,
                "ID": container.id if given.flag("no_trunc") else container.short_id,
                "Name": container.name,
                **samples.row(now.get(container.id), before.get(container.id)),
            }
        )
        for word, container in containers
    ]


def redrawn(text: str) -> str:
    """Over what was drawn before, without a moment in which there is nothing."""
    return _TOP + "".join(f"{line}{_REST_OF_LINE}\n" for line in text.splitlines()) + _REST
