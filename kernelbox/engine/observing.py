"""What is seen of a kept container that runs, and what can be changed on it meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kernelbox.engine import inspect, live, spec_resources, starting, stats
from kernelbox.engine.health_record import health_in
from kernelbox.engine.kernel import limits_of
from kernelbox.engine.machine import this_machine
from kernelbox.engine.option_table import CHANGEABLE
from kernelbox.engine.options import RunOptions
from kernelbox.engine.sources import look_up
from kernelbox.errors import InvalidOption, NotFound, StoreError
from kernelbox.linux import cgroups
from kernelbox.linux.cgroups import change
from kernelbox.linux.cgroups.live import processes
from kernelbox.oci.image_config import EMPTY, ImageConfig
from kernelbox.store.sizes import folder_size

if TYPE_CHECKING:
    from kernelbox.engine.container import Container

__all__ = ["attributes", "known", "sample", "sizes", "top", "update"]


def attributes(container: Container, *, size: bool = False) -> dict[str, object]:
    """Docker's JSON of `docker inspect`; with `size` also what counting its files tells."""
    try:
        config = container.folder.config()
    except StoreError:  # it has not been started yet
        config = None
    log = str(container.folder.log) if starting.options_of(container.record).log_driver != "none" else ""
    return inspect.document(container.record, config=config, log_path=log, known=known(container, size=size))


def known(container: Container, *, size: bool = False) -> inspect.Known:
    """What others than its record know of a container, also where its image has gone."""
    try:
        image = container.box.images.of(container.record).config
    except NotFound:
        image = EMPTY
    found = health_in(container.folder.path)
    return inspect.Known(
        image=image,
        volumes=_volumes(container, image),
        sizes=sizes(container) if size else None,
        health=found.document() if found else None,
        exec_ids=container.box.containers.executions.running(container.id),
    )


def _volumes(container: Container, image: ImageConfig) -> dict[str, tuple[str, str, bool]]:
    """The state file is asked for containers that may have some only: a list may be one of thousands."""
    if not (image.volumes or any(container.record.options.get(name) for name in ("volumes", "mounts", "volumes_from"))):
        return {}
    store = container.box.volumes.store
    return {
        use.destination: (use.volume, str(store.data(use.volume)), "ro" not in use.options)
        for use in store.uses_of(container.id)
    }


def sizes(container: Container) -> inspect.Sizes:
    """Counts every file; not those of the machine itself, which are under the image `host`."""
    changed = folder_size(container.folder.path / "upper")
    try:
        image = container.box.images.of(container.record)
    except NotFound:
        return inspect.Sizes(changed, changed)
    if image.bundle:  # written to in place
        return inspect.Sizes(0, folder_size(Path(image.root)))
    if image.stored:
        return inspect.Sizes(changed, changed + image.size)
    layers = [Path(layer.path) for layer in image.layers if layer.path not in ("", "/")]
    return inspect.Sizes(changed, changed + sum(map(folder_size, layers)))


def top(container: Container, ps_args: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    groups = container.folder.start_notes().groups
    pids = processes(groups) if groups else live.processes_below(container.record.pid)
    return live.top(pids, ps_args)


def sample(container: Container) -> stats.Sample:
    notes = container.folder.start_notes()
    counters = container.box.opened().kernel.hierarchy.counters(notes.groups)
    shared = starting.options_of(container.record).network == "host"
    return stats.take(notes.groups, counters, 0 if shared else container.record.pid)


def update(container: Container, options: Mapping[str, object]) -> tuple[str, ...]:
    """Sets limits and the restart policy, of a running container at once. Sentences about what could not be done."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in CHANGEABLE:
            raise InvalidOption(f"{name} cannot be changed on a container that exists", hint=", ".join(CHANGEABLE))
    if not given:
        raise InvalidOption("nothing to change was given", hint=f"there are: {', '.join(CHANGEABLE)}")
    whole = {**container.record.options, **given}
    wanted = starting.options_of(container.record.changed(options=whole))
    container.reload()
    notes: tuple[str, ...] = ()
    if container.record.living:
        limits = _limits(wanted, {**given, **_with_memory(whole, given)})
        if limits.asked():
            start_notes = container.folder.start_notes()
            groups = change.update(container.box.opened().kernel.hierarchy, start_notes.groups, limits)
            container.folder.rewrite_groups(groups)
        if "restart" in given and not container.monitor.set_restarts(container.token, starting.life_of(wanted)):
            notes = ("the new restart policy is in force from the next start on",)
    container.record = container.state.change(container.id, "update", options=whole)
    return notes


def _with_memory(whole: Mapping[str, object], given: Mapping[str, object]) -> Mapping[str, object]:
    """Swap is a total with memory, so one goes with the other."""
    pair = ("memory", "memory_swap")
    return {name: whole[name] for name in pair if name in whole} if any(name in given for name in pair) else {}


def _limits(wanted: RunOptions, given: Mapping[str, object]) -> cgroups.Limits:
    """Of what is wanted in all, only what is to be changed."""
    resources = spec_resources.build(wanted, this_machine(), look_up(wanted))
    limits = limits_of(resources)
    names = {"pids_limit": "pids"}
    asked = {names.get(name, name) for name in given}
    if asked & {"cpus", "cpu_period", "cpu_quota"}:
        asked |= {"cpus", "cpu_period", "cpu_quota"}
    empty = cgroups.Limits()
    kept = {
        field.name: getattr(limits if field.name in asked else empty, field.name)
        for field in dataclasses.fields(cgroups.Limits)
    }
    return cgroups.Limits(**kept)
