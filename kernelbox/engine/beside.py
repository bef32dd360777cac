"""Whose namespaces a container joins ("container:NAME"), and what it has besides of the one whose network it shares:
its host name, and the files of /etc that say who is called how (docker run, --network container:NAME). With an IPC
namespace comes its shared memory (`joining`).

The files are copies of what that one sees when the container starts: nothing of it is mounted in the container, which
has them for as long as it is there, whatever becomes of the other one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from kernelbox.engine.image import read_beneath
from kernelbox.engine.option_values import SHARED
from kernelbox.engine.options import RunOptions
from kernelbox.engine.own_files import OWN_PATHS
from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.engine.container import Container
    from kernelbox.engine.engine import Engine

__all__ = ["NOBODY", "Beside", "find"]


@frozen
class Beside:
    """`spaces` has the other one's id and first process by the kind of namespace; names and `files` (path and content)
    are those of the one whose network is joined; `memory_has_ids`: the one whose shared memory it is has a user
    namespace of its own."""

    spaces: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    hostname: str = ""
    domainname: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    memory_has_ids: bool = False

    def named(self, options: RunOptions) -> RunOptions:
        """The options with these names, in a UTS namespace of the container's own."""
        if not self.hostname:
            return options
        domainname = options.domainname or self.domainname or None
        return dataclasses.replace(options, hostname=self.hostname, domainname=domainname)

    def to_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Beside:
        """Raises KeyError, TypeError, ValueError or AttributeError for what `to_json` has not made."""
        spaces = {kind: (other, pid) for kind, (other, pid) in found["spaces"].items()}
        names = (found["hostname"], found["domainname"], dict(found["files"]))
        return cls(spaces, *names, found.get("memory_has_ids", False))


NOBODY = Beside()
"""Of a container that joins nobody's namespaces."""


def find(box: Engine, options: RunOptions) -> Beside:
    """For a container that is to start. Raises ContainerNotFound, Conflict where the other one does not run or is
    paused, InvalidOption where that has put something else in the place of such a file, or does not share its IPC."""
    modes = {kind: getattr(options, kind) for kind in SHARED}
    joined = {kind: mode for kind, mode in modes.items() if mode.startswith("container:")}
    if not joined:
        return NOBODY
    others = {kind: _running(box, kind, mode.removeprefix("container:")) for kind, mode in joined.items()}
    if "ipc" in others:
        others["ipc"] = _whose_memory(box, others["ipc"])
    found = Beside({kind: (other.id, other.record.pid) for kind, other in others.items()})
    if "ipc" in others:
        linux = others["ipc"].folder.config().linux
        found = dataclasses.replace(found, memory_has_ids=bool(linux and linux.uid_mappings))
    if "network" not in others:
        return found
    other = others["network"]
    config = other.folder.config()
    hostname = config.hostname or other.short_id
    return dataclasses.replace(found, hostname=hostname, domainname=config.domainname, files=_files(other))


def _whose_memory(box: Engine, other: Container) -> Container:
    """Itself, or whose it shares. As with Docker it must have been made to be shared."""
    mode = other.record.options.get("ipc") or "private"
    if mode == "shareable":
        return other
    spaces = other.folder.start_notes().beside.spaces
    if str(mode).startswith("container:") and "ipc" in spaces:
        return _running(box, "ipc", spaces["ipc"][0])
    hint = "give --ipc host to this one too" if mode == "host" else "create that one with --ipc shareable"
    raise InvalidOption(f"cannot join the IPC namespace of the container {other.name}: its IPC is {mode}", hint=hint)


def _running(box: Engine, kind: str, reference: str) -> Container:
    other = box.containers.get(reference)
    if other.status != "running":
        from kernelbox.engine.starting import explain_conflict  # as `containers`: most runs need none

        raise explain_conflict(other.record, f"join the {kind} namespace of")
    return other


def _files(other: Container) -> dict[str, str]:
    """What it sees itself, resolved beneath its root; those that it does not have are left out."""
    root = other.folder.open_root(other.name)
    try:
        found = {path: read_beneath(root, path, f"network: {other.name}'s") for path in OWN_PATHS}
    finally:
        os.close(root)
    return {path: content.decode("utf-8", "replace") for path, content in found.items() if content}
