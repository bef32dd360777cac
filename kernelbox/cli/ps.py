"""`kernelbox ps`: the containers that there are."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from kernelbox.cli.caller import engine
from kernelbox.cli.tables import CONTAINER_HEADERS, container_format, container_row
from kernelbox.cli.templates import render_rows
from kernelbox.cli.verbs import Given
from kernelbox.engine import filters
from kernelbox.engine.container import Container
from kernelbox.engine.engine import Engine
from kernelbox.engine.inspect import summary
from kernelbox.engine.observing import known

__all__ = ["chosen", "ps"]


def ps(given: Given) -> int:
    template = container_format(given.text("format"), quiet=given.flag("quiet"), size=given.flag("size"))
    # A size is worth looking at every file where it is shown.
    size = given.flag("size") or ".Size" in template
    with engine() as box:
        found, now = chosen(box, given), time.time()
        summaries = [summary(each.record, now, known=known(each, size=size)) for each in found]
    rows = [container_row(each, now, no_trunc=given.flag("no_trunc")) for each in summaries]
    sys.stdout.write(render_rows(template, rows, CONTAINER_HEADERS))
    return 0


def chosen(box: Engine, given: Given) -> Sequence[Container]:
    """The containers that were asked for. Raises InvalidOption."""
    wanted = filters.parse(given.texts("filter"))
    most = 1 if given.flag("latest") else given.number("last") or 0
    found = box.containers.list(all=given.flag("all") or most > 0, filters=wanted)
    return found[:most] if most > 0 else found
