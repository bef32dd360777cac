"""Which namespaces a configuration asks for: new ones, ones to join, and who shall own them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.linux import capabilities
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import OpenNamespace
from kernelbox.runtime.steps.process import FindProcess

__all__ = ["NETNS", "NO_SPACES", "Spaces", "flags_of", "spaces_of"]

NETNS = "netns"

_FLAGS = {
    "pid": lib.CLONE_NEWPID,
    "network": lib.CLONE_NEWNET,
    "mount": lib.CLONE_NEWNS,
    "ipc": lib.CLONE_NEWIPC,
    "uts": lib.CLONE_NEWUTS,
    "user": lib.CLONE_NEWUSER,
    "cgroup": lib.CLONE_NEWCGROUP,
    "time": lib.CLONE_NEWTIME,
}

_NOBODY: Mapping[str, str] = MappingProxyType({})
_OWNERS_RIGHTS = capabilities.parse(["SYS_ADMIN"])


@dataclass(frozen=True, slots=True)
class Spaces:
    """`new` namespaces as CLONE_NEW* flags; `joined` (descriptor, flag) pairs, opened by `opened`. `pooled`: the
    network namespace comes from the monitor's pool; `fresh_network`: it is made with the process, which brings it up;
    `pid_of` is the process whose pid namespace is joined, which only a child can be put into; `owned` are unshared
    once more at the end, inside the user namespace, so that a container with CAP_SYS_ADMIN has it over its own
    mounts."""

    new: int
    joined: tuple[tuple[str, int], ...]
    opened: tuple[Step, ...]
    pooled: bool
    fresh_network: bool
    owned: int
    pid_of: str = NONE


NO_SPACES = Spaces(0, (), (), False, False, 0)
"""Of a process that makes none of its own."""


def flags_of(config: Config) -> int:
    """The namespaces that the container does not share with the monitor, as CLONE_NEW* flags."""
    flags = 0
    for space in config.linux.namespaces if config.linux else ():
        flags |= _FLAGS[space.type]
    return flags


def spaces_of(
    config: Config, held: int, *, network: str, rootless: bool, beside: Mapping[str, str] = _NOBODY
) -> Spaces:
    """`held` are the capabilities of the bounding set; `network` names a network namespace made for this container
    (which its user namespace owns), or nothing. `beside` says whose namespace of a kind is joined: the id of another
    container, which its monitor finds by that and not by a path that could be another's by then."""
    new = 0
    joined: list[tuple[str, int]] = []
    opened: list[Step] = []
    for space in config.linux.namespaces if config.linux else ():
        flag = _FLAGS[space.type]
        other = beside.get(space.type)
        if other:
            opened.append(FindProcess(other, f"process of {other}"))
            joined.append((f"process of {other}", flag))
        elif not space.path:
            new |= flag
        elif flag in (lib.CLONE_NEWPID, lib.CLONE_NEWNS, lib.CLONE_NEWUSER):
            raise NotSupported(f"joining an existing {space.type} namespace ({space.path}) is not supported")
        else:
            opened.append(OpenNamespace(space.path, f"{space.type} namespace"))
            joined.append((f"{space.type} namespace", flag))
    if not new & lib.CLONE_NEWNS:
        raise InvalidOption("the configuration has no mount namespace: a container needs one of its own")
    own_network = bool(new & lib.CLONE_NEWNET)
    pooled = own_network and not network and not rootless  # an ordinary user's monitor could not come back from one
    if own_network and (network or pooled):
        joined.append((network or NETNS, lib.CLONE_NEWNET))
    owns = new & lib.CLONE_NEWUSER and held & _OWNERS_RIGHTS
    owned = new & (lib.CLONE_NEWNS | lib.CLONE_NEWUTS | lib.CLONE_NEWIPC) if owns else 0
    pid_of = next((descriptor for descriptor, flag in joined if flag == lib.CLONE_NEWPID), NONE)
    others = tuple(each for each in joined if each[1] != lib.CLONE_NEWPID)
    fresh = own_network and not network and not pooled
    return Spaces(new, others, tuple(dict.fromkeys(opened)), pooled, fresh, owned, pid_of)
