"""`--volumes-from`: what another container has mounted, as mounts of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kernelbox.engine.mount_options import PROPAGATIONS
from kernelbox.engine.options import RunOptions
from kernelbox.engine.recorded_options import mounts_of
from kernelbox.oci.runtime_spec import Mount

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["as_recorded", "with_others"]


def with_others(box: Engine, options: RunOptions) -> tuple[RunOptions, frozenset[str]]:
    """The options with the mounts of the containers that they name, where they have no other one there; and which of
    these are volumes without a name. Nothing is copied into them. Raises ContainerNotFound."""
    if not options.volumes_from:
        return options, frozenset()
    own = {mount.destination for mount in (*options.volumes, *options.mounts, *options.tmpfs)}
    found: dict[str, Mount] = {}
    anonymous = set()
    for each in options.volumes_from:
        name, _, mode = each.partition(":")
        record = box.containers.get(name).record
        uses = box.volumes.store.uses_of(record.id)
        anonymous |= {use.volume for use in uses if use.anonymous}
        volumes = [Mount(use.destination, "volume", use.volume, _words(use.options, "nocopy")) for use in uses]
        binds = [mount for mount in mounts_of(record) if mount.type == "bind"]
        found |= {mount.destination: _in_mode(mount, mode) for mount in (*volumes, *binds)}
    more = tuple(mount for mount in found.values() if mount.destination not in own)
    return dataclasses.replace(options, mounts=(*options.mounts, *more)), frozenset(anonymous)


def _words(words: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return (*words, *(word for word in more if word not in words))


def _in_mode(mount: Mount, mode: str) -> Mount:
    """What is read-only there stays so."""
    if mode != "ro":
        return mount
    more = ("ro", "rro") if "rbind" in mount.options else ("ro",)
    return dataclasses.replace(mount, options=_words(mount.options, *more))


def as_recorded(mounts: tuple[Mount, ...]) -> Iterator[dict[str, object]]:
    """The bind mounts among them in the form of the API, for a record: whose they were may be gone at the next
    start."""
    for mount in mounts:
        if mount.type == "bind":
            propagation = next((word for word in mount.options if word in PROPAGATIONS), "rprivate")
            yield {
                "Type": "bind",
                "Source": mount.source,
                "Target": mount.destination,
                "ReadOnly": "ro" in mount.options,
                "BindOptions": {"Propagation": propagation, "NonRecursive": "bind" in mount.options},
            }
