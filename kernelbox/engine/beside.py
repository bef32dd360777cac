"""Whose namespaces a container joins ("container:NAME"), and what it has besides of the one whose network it shares:
its host name, and the files of /etc that say who is called how (docker run, --network container:NAME).

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
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.engine.container import Container
    from kernelbox.engine.engine import Engine

__all__ = ["NOBODY", "Beside", "find"]


@frozen
class Beside:
    """`spaces` has the other one's id and first process by the kind of namespace; names and `files` (path and content)
    are those of the one whose network is joined."""

    spaces: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    hostname: str = ""
    domainname: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

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
        return cls(spaces, found["hostname"], found["domainname"], dict(found["files"]))


NOBODY = Beside()
"""Of a container that joins nobody's namespaces."""


def find(box: Engine, options: RunOptions) -> Beside:
    """For a container that is to start. Raises ContainerNotFound, Conflict where the other one does not run or is
    paused, InvalidOption where that has put something else in the place of such a file."""
    modes = {kind: getattr(options, kind) for kind in SHARED}
    joined = {kind: mode for kind, mode in modes.items() if mode.startswith("container:")}
    if not joined:
        return NOBODY
    others = {kind: _running(box, kind, mode.removeprefix("container:")) for kind, mode in joined.items()}
    spaces = {kind: (other.id, other.record.pid) for kind, other in others.items()}
    if "network" not in others:
        return Beside(spaces)
    other = others["network"]
    config = other.folder.config()
    return Beside(spaces, config.hostname or other.short_id, config.domainname, _files(other))


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
