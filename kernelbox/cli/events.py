"""`kernelbox events`: what happens to containers, as it happens.

Nobody tells who waits: the numbers after the last one are asked for again and again. An end is noticed by whoever looks
at the container, so that is done too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime

from kernelbox.cli.caller import engine
from kernelbox.cli.template_values import Fields
from kernelbox.cli.templates import render
from kernelbox.cli.verbs import Given
from kernelbox.engine import filters
from kernelbox.store.log_times import parse_time
from kernelbox.store.state import Event

__all__ = ["EventFields", "document", "events", "line"]

_POLL_S = 0.1
_IN_TEMPLATES = {
    "Status": "status",
    "ID": "id",
    "From": "from",
    "Scope": "scope",
    "Time": "time",
    "TimeNano": "timeNano",
}


class EventFields(Fields):
    """An event for templates, which have other names for some of what is in its JSON."""

    def __init__(self, event: Event) -> None:
        super().__init__(document(event))
        self["Actor"] = Fields({"ID": event.id, "Attributes": dict(event.attributes)})

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in _IN_TEMPLATES

    def __missing__(self, name: str) -> object:
        return self[_IN_TEMPLATES[name]]


def events(given: Given) -> int:
    now = time.time()
    since = parse_time(given.text("since"), now) if given.text("since") else now
    until = parse_time(given.text("until"), now) if given.text("until") else float("inf")
    wanted = filters.parse(given.texts("filter"), filters.EVENT_KEYS)
    shown = _shower(given.text("format"))
    last = 0
    with engine() as box:
        while True:
            looked = time.time()
            box.containers.records()
            for event in box.containers.state.events(last, since, until):
                last = event.number
                if filters.matches_event(event, wanted):
                    sys.stdout.write(f"{shown(event)}\n")
            sys.stdout.flush()
            if looked >= until:
                return 0
            time.sleep(min(_POLL_S, max(0.0, until - looked)))


def _shower(template: str) -> Callable[[Event], str]:
    if not template:
        return line
    return lambda event: render(template, EventFields(event))


def line(event: Event) -> str:
    """ "2026-11-24T14:00:00.123456000Z container die 4d35... (exitCode=0, image=host, name=web)", local time."""
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
    words = [_local_time(event.time), event.kind, event.action, event.id]
    return " ".join([*words, *([f"({attributes})"] if attributes else [])])


def _local_time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds).astimezone()
    zone = moment.strftime("%z")
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000{zone}"


def document(event: Event) -> dict[str, object]:
    """As `GET /events` has it; whole microseconds, which is what was noted."""
    microseconds = round(event.time * 1_000_000)
    return {
        "status": event.action,
        "id": event.id,
        "from": event.attributes.get("image", ""),
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": microseconds // 1_000_000,
        "timeNano": microseconds * 1000,
    }
