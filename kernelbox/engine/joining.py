"""How a configuration says whose namespaces it joins. With an IPC namespace comes the /dev/shm of whose that is, as
with Docker."""

from __future__ import annotations

import dataclasses

from kernelbox.engine.beside import Beside
from kernelbox.engine.spec_mounts import SHM
from kernelbox.linux.features import Features
from kernelbox.oci.runtime_spec import Config, Mount
from kernelbox.oci.value import frozen

__all__ = ["NOT_SHARED_NOTE", "Joined", "join"]

NOT_SHARED_NOTE = "/dev/shm is the container's own: this kernel cannot map the ids in that of the other one (Linux 6.3)"

_FILES = {"network": "net", "mount": "mnt"}


@frozen
class Joined:
    """The configuration, the source of the mount in it that is the other one's memory, and what is to be said."""

    config: Config
    memory: str = ""
    notes: tuple[str, ...] = ()


def join(config: Config, beside: Beside, features: Features, *, rootless: bool) -> Joined:
    """As config.json says it: paths to the namespaces of the other containers' first processes. Their monitor finds
    them by who they are."""
    if config.linux is None or not beside.spaces:
        return Joined(config)
    spaces = tuple(
        dataclasses.replace(space, path=f"/proc/{beside.spaces[space.type][1]}/ns/{_FILES.get(space.type, space.type)}")
        if space.type in beside.spaces
        else space
        for space in config.linux.namespaces
    )
    joined = dataclasses.replace(config, linux=dataclasses.replace(config.linux, namespaces=spaces))
    return _with_memory(joined, beside, features, rootless) if "ipc" in beside.spaces else Joined(joined)


def _with_memory(config: Config, beside: Beside, features: Features, rootless: bool) -> Joined:
    """A mount that was asked for at this place stays; so does the container's own where ids would have to be shown as
    others and the kernel cannot do so."""
    if not any(mount.destination == SHM and mount.source == "shm" for mount in config.mounts):
        return Joined(config)
    has_ids = beside.memory_has_ids or bool(config.linux and config.linux.uid_mappings)
    if has_ids and not rootless and not features.idmapped_tmpfs:
        return Joined(config, notes=(NOT_SHARED_NOTE,))
    _, process = beside.spaces["ipc"]
    source = f"/proc/{process}/root{SHM}"
    shared = Mount(SHM, "bind", source, ("bind", "rprivate", "nosuid", "noexec", "nodev"))
    mounts = tuple(shared if mount.destination == SHM else mount for mount in config.mounts)
    return Joined(dataclasses.replace(config, mounts=mounts), source)
