"""`kernelbox volume create`, `ls`, `inspect`, `rm` and `prune`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from kernelbox.cli.caller import engine
from kernelbox.cli.inspect import show
from kernelbox.cli.tables import human_size
from kernelbox.cli.template_values import Row
from kernelbox.cli.templates import render_rows
from kernelbox.cli.verbs import Given, for_each
from kernelbox.engine import filters
from kernelbox.engine.option_values import pairs
from kernelbox.engine.volumes import LIST_KEYS, PRUNE_KEYS, Volume

__all__ = ["VOLUME_HEADERS", "create", "inspect", "ls", "prune", "remove"]

VOLUME_HEADERS: Mapping[str, str] = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Availability": "AVAILABILITY",
    "Group": "GROUP",
    "Status": "STATUS",
}
"""What stands above each field of a volume's row."""

_NAMED, _ANONYMOUS = "all local volumes", "anonymous local volumes"
_WARNING = """\
WARNING! This will remove {} not used by at least one container.
Are you sure you want to continue? [y/N] """
_UNKNOWN = "N/A"


class _Volume(Row):
    """A volume's fields for `--format`, and `Label KEY`."""

    def __init__(self, volume: Volume) -> None:
        labels = volume.labels
        shown = {
            "Name": volume.name,
            "Driver": "local",
            "Scope": "local",
            "Mountpoint": volume.mountpoint,
            "Labels": ",".join(sorted(f"{key}={value}" for key, value in labels.items())),
            **dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), _UNKNOWN),
        }
        super().__init__(shown)
        self.methods = {"Label": lambda key: labels.get(key, "")}


def create(given: Given) -> int:
    """Prints its name."""
    with engine() as box:
        volume = box.volumes.create(
            *given.words,
            driver=given.text("driver", "local"),
            driver_opts=pairs(given.texts("driver_opts")),
            labels=given.texts("labels"),
        )
    sys.stdout.write(f"{volume.name}\n")
    return 0


def ls(given: Given) -> int:
    template = given.text("format")
    if template in ("", "table"):
        template = "{{.Name}}" if given.flag("quiet") else "table {{.Driver}}\t{{.Name}}"
    elif template == "raw":
        template = "name: {{.Name}}" if given.flag("quiet") else "name: {{.Name}}\ndriver: {{.Driver}}\n"
    with engine() as box:
        found = box.volumes.list(filters.parse(given.texts("filter"), LIST_KEYS))
    sys.stdout.write(render_rows(template, map(_Volume, found), VOLUME_HEADERS))
    return 0


def inspect(given: Given) -> int:
    return show(given, lambda box, name: box.volumes.get(name).attrs)


def remove(given: Given) -> int:
    """As with Docker it is no failure that there is nothing to remove by force."""
    with engine() as box:

        def forget(name: str) -> str:
            box.volumes.remove(name, force=given.flag("force"))
            return name

        return for_each(given.words, forget)


def prune(given: Given) -> int:
    wanted = filters.parse(given.texts("filter"), PRUNE_KEYS)
    if not given.flag("force"):
        sys.stdout.write(_WARNING.format(_NAMED if given.flag("all") else _ANONYMOUS))
        sys.stdout.flush()
        if sys.stdin is None or sys.stdin.readline().strip().lower() != "y":
            return 0
    with engine() as box:
        done = box.volumes.prune(wanted, all=given.flag("all"))
    if done["VolumesDeleted"]:
        sys.stdout.write("Deleted Volumes:\n" + "".join(f"{name}\n" for name in done["VolumesDeleted"]) + "\n")
    sys.stdout.write(f"Total reclaimed space: {human_size(done['SpaceReclaimed'], 4)}\n")
    return 0
