"""The files of a container that does not run: its root, with what is bound in it, mounted for who reads and writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator

from kernelbox.linux.mount_options import PROPAGATION
from kernelbox.oci.runtime_spec import Config, Mount
from kernelbox.runtime import compile_root
from kernelbox.runtime.plan import FOLDER, Plan
from kernelbox.runtime.setup import CONTAINERS
from kernelbox.runtime.steps import mounts as steps
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import OpenFolder
from kernelbox.runtime.steps.mounts import ROOT
from kernelbox.runtime.target import Target

__all__ = ["clearing_plan", "files_plan"]

_PLACE = "/files"


def files_plan(config: Config, target: Target, places: Container[str]) -> Plan:
    """Reveals the root of a container that is kept. `places` are the destinations of the bind mounts that are wanted:
    none of them is ever seen by anybody but who has the descriptor."""
    return Plan(tuple(_steps(config, target, places)), reveal=ROOT)


def clearing_plan() -> Plan:
    """What is done where such a plan has failed."""
    return Plan((steps.ClearWorkshop((_PLACE,)),))


def _steps(config: Config, target: Target, places: Container[str]) -> Iterator[Step]:
    owner = compile_root.owner_of(config)
    yield OpenFolder(target.id, FOLDER, CONTAINERS)
    yield from compile_root.root_steps(config, target, owner)
    wanted = [
        (number, _private(mount))
        for number, mount in enumerate(config.mounts)
        if compile_root.is_bind(mount) and mount.destination in places
    ]
    workshop = bool(wanted) and not target.features.detached_clone
    if workshop:  # before Linux 6.15 nothing can be attached to what is attached nowhere
        yield steps.AttachInWorkshop(ROOT, _PLACE)
    for number, mount in wanted:
        yield from compile_root.bind_clone(number, mount, config, target)
        is_folder, _ = target.sources[mount.source]
        kind = steps.FOLDER if is_folder else steps.FILE
        title = f"bind {mount.source}"
        name = compile_root.bind_name(number)
        yield steps.Attach(name, mount.destination, title, kind, owner=owner, in_workshop=workshop)
    if workshop:
        yield steps.CloneTree("", ROOT, ROOT, recursive=True, in_workshop=True)
        yield steps.ClearWorkshop((_PLACE,))


def _private(mount: Mount) -> Mount:
    """What is attached in it, and goes with the descriptor, reaches no other mount."""
    kept = tuple(option for option in mount.options if option not in PROPAGATION and option[1:] not in PROPAGATION)
    return dataclasses.replace(mount, options=(*kept, "rprivate"))
