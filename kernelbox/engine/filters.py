"""`--filter`: which containers, and which events, are shown. The keys and their meaning are Docker's.

Several values of one key are alternatives, several keys must all match, and so must several labels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from kernelbox.engine import ports as port_values
from kernelbox.engine.option_values import near
from kernelbox.engine.ports import Port
from kernelbox.engine.recorded_options import mounts_of, networks_of
from kernelbox.engine.status import HEALTH_WORDS, exit_code, health_of
from kernelbox.errors import InvalidOption
from kernelbox.store.container_record import LIVING, STATUSES, ContainerRecord
from kernelbox.store.state import Event

__all__ = [
    "CONTAINER_KEYS",
    "EVENT_KEYS",
    "Filters",
    "checked",
    "from_json",
    "has_labels",
    "is_found",
    "matches",
    "matches_event",
    "parse",
]

Filters = Mapping[str, Sequence[str]]

CONTAINER_KEYS = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
_NAMED_KINDS = ("config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume")
EVENT_KEYS = (*_NAMED_KINDS, "event", "image", "label", "scope", "type")

_WORDS = {"status": STATUSES, "health": HEALTH_WORDS, "is-task": ("true", "false"), "scope": ("local", "swarm")}
_WITH_DETAILS = ("exec_create", "exec_start", "health_status")
"""Actions that go on after their word: "exec_start: ls"."""


def parse(given: Iterable[str], known: Sequence[str] = CONTAINER_KEYS) -> dict[str, tuple[str, ...]]:
    """What `--filter KEY=VALUE` says, each time it is given. Raises InvalidOption."""
    found: dict[str, list[str]] = {}
    for text in given:
        if not text:
            continue
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidOption("bad format of filter (expected name=value)", hint=f"{text!r} has no '='")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return checked(found, known)


def from_json(text: str, known: Sequence[str] = CONTAINER_KEYS) -> dict[str, tuple[str, ...]]:
    """The API's `filters`: `{"status": ["paused"]}`, or in its other form `{"status": {"paused": true}}`.

    Raises InvalidOption."""
    try:
        given = json.loads(text or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise InvalidOption("invalid filter", hint='like {"status": ["paused"]}')
    found: dict[str, list[str]] = {}
    for key, values in given.items():
        if isinstance(values, dict):
            values = [value for value, meant in values.items() if meant]
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InvalidOption(f"invalid filter '{key}'", hint='like {"status": ["paused"]}')
        found[key] = values
    return checked(found, known)


def checked(found: Mapping[str, Sequence[str]], known: Sequence[str] = CONTAINER_KEYS) -> dict[str, tuple[str, ...]]:
    """What a program gives as filters. Raises InvalidOption."""
    for key, values in found.items():
        if key not in known:
            raise InvalidOption(f"invalid filter '{key}'", hint=near(key, known) or f"one of {', '.join(known)}")
        for value in values:
            _check(key, value)
    return {key: tuple(values) for key, values in found.items() if values}


def _check(key: str, value: str) -> None:
    words = _WORDS.get(key)
    if words and value not in words:
        raise InvalidOption(f"invalid filter '{key}={value}'", hint=f"one of {', '.join(words)}")
    if key == "exited" and not re.fullmatch(r"[+-]?[0-9]{1,9}", value, re.ASCII):
        raise InvalidOption(f"invalid filter 'exited={value}'", hint="the number of an exit code: exited=137")
    if key in ("publish", "expose"):
        if ":" in value:
            raise InvalidOption(f"filter for '{key}' should not contain ':': {value}")
        port_values.port_range(value)


def matches(
    record: ContainerRecord,
    filters: Filters,
    others: Callable[[str], ContainerRecord],
    ports: Sequence[Port] = (),
    having: Container[str] = (),
) -> bool:
    """Whether the filters (as `parse` gives them) let a container through; `ports` are those it has, `having` the ids
    of containers that have a volume which is asked for.

    `others` finds a container by name or id, for `before` and `since`; what it raises is passed on."""
    for key, values in filters.items():
        if not values or key in ("publish", "expose"):
            continue
        if key in ("before", "since"):
            if not _is_older_or_newer(record, key, [others(value) for value in values]):
                return False
        elif not (_TESTS[key](record, values) or (key == "volume" and record.id in having)):
            return False
    return _has_ports(ports, filters)


def _is_older_or_newer(record: ContainerRecord, key: str, others: Sequence[ContainerRecord]) -> bool:
    if key == "before":
        return any(record.created_at < other.created_at for other in others)
    return any(record.created_at > other.created_at for other in others)


def _has_id(record: ContainerRecord, values: Sequence[str]) -> bool:
    return any(record.id.startswith(value) for value in values)


def _has_name(record: ContainerRecord, values: Sequence[str]) -> bool:
    """A part of the name, or a regular expression; the name may be meant with its slash, as in "^/web$"."""
    names = (record.name, f"/{record.name}")
    return any(name == value or is_found(value, name) for value in values for name in names)


def is_found(pattern: str, name: str) -> bool:
    """Whether a regular expression fits a part of the name."""
    try:
        return re.search(pattern, name) is not None
    except re.error:  # as in Docker, what is no expression may still be a name, and is no fault
        return False


def has_labels(labels: Mapping[str, str], values: Sequence[str]) -> bool:
    """Whether all of KEY or KEY=VALUE are among the labels."""
    for value in values:
        key, equals, wanted = value.partition("=")
        if key not in labels or (equals and labels[key] != wanted):
            return False
    return True


def _has_exited(record: ContainerRecord, values: Sequence[str]) -> bool:
    ended = record.started_at > 0 and record.status not in LIVING
    return ended and exit_code(record) in [int(value) for value in values]


def _is_of_image(record: ContainerRecord, values: Sequence[str]) -> bool:
    digest = record.image_digest.removeprefix("sha256:")
    own = _whole_name(record.image)
    for value in values:
        name, at, pinned = value.partition("@")
        if at:
            if record.image_digest == pinned and _repository(own) == _repository(_whole_name(name)):
                return True
        elif _whole_name(value) == own or (digest and value and digest.startswith(value.removeprefix("sha256:"))):
            return True
    return False


def _whole_name(image: str) -> str:
    """Without what Docker Hub's names may leave out, and with the tag that is meant without one."""
    name = image.removeprefix("docker.io/").removeprefix("library/")
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"


def _repository(image: str) -> str:
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def _has_volume(record: ContainerRecord, values: Sequence[str]) -> bool:
    return any(mount.source in values or mount.destination in values for mount in mounts_of(record))


_TESTS: dict[str, Callable[[ContainerRecord, Sequence[str]], bool]] = {
    "ancestor": _is_of_image,
    "exited": _has_exited,
    "health": lambda record, values: health_of(record) in values,
    "id": _has_id,
    "is-task": lambda record, values: "false" in values,
    "isolation": lambda record, values: True,  # a word of Windows
    "label": lambda record, values: has_labels(record.labels, values),
    "name": _has_name,
    "network": lambda record, values: any(name in values for name in networks_of(record)),
    "status": lambda record, values: record.status in values,
    "volume": _has_volume,
}


def _has_ports(ports: Sequence[Port], filters: Filters) -> bool:
    """As in Docker, a port that is published or one that is exposed will do where both are asked for."""
    published = [port_values.port_range(value) for value in filters.get("publish", ())]
    exposed = [port_values.port_range(value) for value in filters.get("expose", ())]
    if not published and not exposed:
        return True
    return any(
        any(port.public in numbers and port.protocol == protocol for numbers, protocol in published)
        or any(port.private in numbers and port.protocol == protocol for numbers, protocol in exposed)
        for port in ports
    )


def matches_event(event: Event, filters: Filters) -> bool:
    """Whether the filters (as `parse` with EVENT_KEYS gives them) let an event through."""
    return all(_event_has(event, key, values) for key, values in filters.items() if values)


def _event_has(event: Event, key: str, values: Sequence[str]) -> bool:
    if key == "type":
        return event.kind in values
    if key == "event":
        return event.action in values or event.action.partition(":")[0] in set(values) & set(_WITH_DETAILS)
    if key == "label":
        return has_labels(event.attributes, values)
    if key == "image":
        return _event_is_of_image(event, values)
    if key == "scope":
        return "local" in values
    names = (event.id, event.attributes.get("name", ""))
    return any(name.startswith(value) for value in values for name in names)


def _event_is_of_image(event: Event, values: Sequence[str]) -> bool:
    image = event.attributes.get("name" if event.kind == "image" else "image", "")
    names = {event.id, image, _repository(image.removeprefix("docker.io/").removeprefix("library/"))}
    return not names.isdisjoint(values)
