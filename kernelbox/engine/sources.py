"""What options name on the machine - bind sources, devices, disks - looked up before a launch.

The one place of the options that asks the file system; a name that is not there is an error that says which.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.engine.options import RunOptions


@frozen
class DeviceNode:
    """A device of the machine: `type` "c" or "b", numbers, permission bits and owner as stat(2) says."""

    type: str
    major: int
    minor: int
    mode: int = 0o660
    uid: int = 0
    gid: int = 0


@frozen
class Sources:
    """The devices and disks that the options name, by their path on the machine."""

    devices: Mapping[str, DeviceNode] = field(default_factory=dict)
    every: tuple[str, ...] = ()
    """All devices of the machine, for a privileged container that shares the machine's ids."""


NONE = Sources()

_OWN = frozenset(["pts", "shm", "mqueue", "fd", "console", "null", "zero", "full", "random", "urandom", "tty", "ptmx"])


def look_up(options: RunOptions, dev: str = "/dev", *, known: Container[str] = ()) -> Sources:
    """Raises InvalidOption naming the first source that is missing or of the wrong kind; those that are `known` are
    volumes, and have been looked at."""
    for option, mounts in (("volumes", options.volumes), ("mounts", options.mounts)):
        for mount in mounts:
            if mount.type == "bind" and mount.source not in known:
                _check_source(option, mount.source)
    everything = options.privileged and options.userns == "host"
    if not (options.devices or options.device_rates or everything):
        return NONE
    found = {request.source: _node("devices", request.source) for request in options.devices}
    for option, rates in options.device_rates:
        for rate in rates:
            found[rate.path] = _node(option, rate.path, kinds="b")
    every = dict(_every_device(dev)) if everything else {}
    return Sources({**every, **found}, tuple(every))


def _check_source(option: str, source: str) -> None:
    try:
        os.stat(source)  # no pathlib import for a launch
    except OSError as error:
        raise InvalidOption(
            f"{option}: the source {source!r} cannot be mounted: {_reason(error)}",
            hint="nothing is created on the machine for a mount: make it first",
        ) from None


def _node(option: str, path: str, kinds: str = "cb") -> DeviceNode:
    try:
        node = _device_of(os.stat(path))
    except OSError as error:
        raise InvalidOption(f"{option}: the device {path!r} cannot be used: {_reason(error)}") from None
    if node is None or node.type not in kinds:
        raise InvalidOption(f"{option}: {path!r} is not a {'disk' if kinds == 'b' else 'device'}")
    return node


def _device_of(status: os.stat_result) -> DeviceNode | None:
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
    if not kind:
        return None
    number, mode = status.st_rdev, stat.S_IMODE(status.st_mode)
    return DeviceNode(kind, os.major(number), os.minor(number), mode, status.st_uid, status.st_gid)


def _every_device(directory: str) -> Iterator[tuple[str, DeviceNode]]:
    """As Docker: all nodes below /dev but those that each container has of its own."""
    for entry in os.scandir(directory):
        if entry.name in _OWN:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _every_device(entry.path)
        elif not entry.is_symlink() and (node := _device_of(entry.stat(follow_symlinks=False))):
            yield entry.path, node


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown").lower()
