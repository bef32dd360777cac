"""A configuration built for a machine that is always the same, and short ways to look at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kernelbox.engine import spec
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.engine.sources import DeviceNode, Sources
from kernelbox.engine.spec import IdMap
from kernelbox.engine.users import ROOT
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Capabilities, Config, Linux, Mount, Process, Resources

MACHINE = Machine(cpus=4, memory=8 << 30, cpuset=frozenset(range(4)), uid=1000, gid=1000, hostname="laptop")
IMAGE = ImageConfig(env=("PATH=/usr/bin:/bin", "LANG=C.UTF-8"), cmd=("sh", "-l"), entrypoint=("/init",))
SOURCES = Sources({"/dev/fuse": DeviceNode("c", 10, 229, 0o666), "/dev/sda": DeviceNode("b", 8, 0)})


@dataclass(frozen=True)
class Built:
    """A configuration all of whose parts are there."""

    config: Config
    linux: Linux
    process: Process
    resources: Resources
    capabilities: Capabilities
    namespaces: frozenset[str]

    def mount(self, target: str) -> Mount | None:
        return {each.destination: each for each in self.config.mounts}.get(target)


def build_config(command: tuple[str, ...] = ("true",), image: ImageConfig = IMAGE, **given: Any) -> Built:
    """What `spec.build` makes of the options in `given`; its own parameters may be there too, `user` as `as_user`."""
    looked_up = {
        "machine": given.pop("machine", MACHINE),
        "user": given.pop("as_user", ROOT),
        "id_map": given.pop("id_map", IdMap(524_288)),
        "inherited_ids": given.pop("inherited_ids", 0),
        "mounts": given.pop("own_mounts", ()),
        "sources": SOURCES,
        "container_id": "0123456789abcdef" * 4,
    }
    config = spec.build(RunOptions.make(**given), image, command, **looked_up)
    linux, process = config.linux, config.process
    assert linux is not None
    assert process is not None
    assert linux.resources is not None
    assert process.capabilities is not None
    kinds = frozenset(each.type for each in linux.namespaces)
    return Built(config, linux, process, linux.resources, process.capabilities, kinds)


@pytest.fixture
def build() -> Callable[..., Built]:
    """`build(command, image, **options)`."""
    return build_config
