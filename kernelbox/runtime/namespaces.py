"""Which namespaces a configuration asks for: new ones, ones to join, and who shall own them."""

from __future__ import annotations

from dataclasses import dataclass

from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.linux import capabilities
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import OpenNamespace

__all__ = ["NETNS", "Spaces", "spaces_of"]

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

_OWNERS_RIGHTS = capabilities.parse(["SYS_ADMIN"])


@dataclass(frozen=True, slots=True)
class Spaces:
    """`new` namespaces as CLONE_NEW* flags; `joined` (descriptor, flag) pairs, opened by `opened`. `pooled`: the
    network namespace comes from the monitor's pool; `fresh_network`: it is made with the process, which brings it up;
    `owned` are unshared once more at the end, inside the user namespace, so that a container with CAP_SYS_ADMIN has
    it over its own mounts."""

    new: int
    joined: tuple[tuple[str, int], ...]
    opened: tuple[Step, ...]
    pooled: bool
    fresh_network: bool
    owned: int


def spaces_of(config: Config, held: int, *, network: str, rootless: bool) -> Spaces:
    """`held` are the capabilities of the bounding set; `network` names a network namespace made for this container
    (which its user namespace owns), or nothing."""
    new = 0
    joined: list[tuple[str, int]] = []
    opened: list[Step] = []
    for space in config.linux.namespaces if config.linux else ():
        flag = _FLAGS[space.type]
        if not space.path:
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
    return Spaces(new, tuple(joined), tuple(opened), pooled, own_network and not network and not pooled, owned)
