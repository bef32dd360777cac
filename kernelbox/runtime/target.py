"""What a plan needs to know beside the OCI configuration: where the root file system comes from, which groups and
descriptors there are, what this machine's kernel can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelbox.linux.cgroups import Counter, Group
from kernelbox.linux.features import Features
from kernelbox.runtime.encoder import NONE

__all__ = ["Layer", "Rootfs", "Target"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A folder, or with `source` a descriptor, that is a read-only layer; `mapped`: through an id-mapped mount."""

    path: str = ""
    source: str = NONE
    mapped: bool = True
    given: bool = False
    """Its mount is sent along, as "layer N"."""


@dataclass(frozen=True, slots=True)
class Rootfs:
    """Layers, the topmost first, under an upper layer of the container's own; or the folder `path` itself."""

    layers: tuple[Layer, ...] = ()
    path: str = ""
    mapped: bool = True
    upper_mapped: bool = True
    scratch_given: bool = False
    """A mount of the store's containers with mapped ids is sent along, as "scratch"."""


@dataclass(frozen=True, slots=True)
class Target:
    """One container to be. Descriptors are named as they are sent along: "userns", "devices", "stdin" and so on."""

    id: str
    rootfs: Rootfs
    features: Features
    groups: tuple[Group, ...] = ()
    counters: tuple[Counter, ...] = ()
    userns: str = NONE
    device_filter: str = NONE
    streams: tuple[str, str, str] = ("stdin", "stdout", "stderr")
    held: tuple[str, ...] = ()
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    """Files of /etc that are the container's own: path and content."""
    sources: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    """For each source of a bind mount: whether it is a folder, and whether its file system can map ids."""
    beneath: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Sources that are a part of a volume: its folder, and the path below that."""
    volumes: tuple[str, ...] = ()
    """Of a container that is not kept: its name and those of its volumes, to be found by who would remove one."""
    folder_made: bool = False
    """It has a folder already."""
    beside: Mapping[str, str] = field(default_factory=dict)
    """Kinds of namespaces that are another container's, and the id of that."""
    shared_memory: str = ""
    """The source of the bind mount that is another one's /dev/shm, in whose IPC namespace it is."""
    seccomp: bytes = b""
    lease: bool = True
    """End it when the engine that asked for it goes, or the monitor does."""
    kept: bool = False
    """It stays when it ends, with its folder among the store's containers, its streams read by the monitor."""
    swept: bool = True
    """Its folder goes when it ends."""
    interactive: bool = False
    """Kept: its standard input is what those who attach write."""
    way_out: tuple[str, ...] = ()
    """Path and words of the program that makes one for its network namespace, where an ordinary user's has one."""
    owner: tuple[int, int] = (0, 0)
    """The machine's ids of its user, who may open the streams anew."""
    id_mark: str = ""
    """A link that says whose the range of ids is, for as long as there are processes with them."""
    rootless: bool = False
    bundle: str = "/"
    """The folder that hooks are told."""
