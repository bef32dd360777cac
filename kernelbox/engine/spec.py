"""From options and image to the OCI configuration of one container.

Pure: no file, no system call. What must be looked up comes in as values (Machine, ResolvedUser, Sources, IdMap).
Docker's defaults where users would notice, stricter ones (`hardening`) where they would not.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernelbox.engine import hardening, sources, spec_mounts, spec_process, spec_resources
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.engine.sources import Sources
from kernelbox.engine.users import ROOT, ResolvedUser
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import (
    VERSION,
    Config,
    Device,
    IdMapping,
    Linux,
    Mount,
    Namespace,
    Root,
)
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.oci.runtime_spec import Seccomp

SECCOMP_ANNOTATION = "io.kernelbox.seccomp"
"""Which system call filter is meant: "default" (the runtime's own, for the capabilities held), "unconfined" (none), or
"custom" (the one in `linux.seccomp`)."""


_NO_MAP = "userns='host' has all ids, and no user namespace"
_FEW_IDS = "newuidmap (apt-get install uidmap) and ranges in /etc/subuid and /etc/subgid give an ordinary user more"


@frozen
class IdMap:
    """`count` ids of the machine from `start` on (groups: from `gid_start`, `gid_count` of them, when those differ) for
    a user namespace. `own` is what the caller's own ids are outside, where they are not themselves: 0 in the user
    namespace of an ordinary user's monitor."""

    start: int
    count: int = 65_536
    gid_start: int | None = None
    gid_count: int | None = None
    own: int | None = None


def build(
    options: RunOptions,
    image_config: ImageConfig,
    command: Sequence[str],
    machine: Machine,
    *,
    container_id: str,
    user: ResolvedUser = ROOT,
    id_map: IdMap | None = None,
    inherited_ids: int = 0,
    sources: Sources = sources.NONE,
    mounts: Sequence[Mount] = (),
) -> Config:
    """The configuration of a container; `root.path` is "rootfs". Raises InvalidOption or NotSupported.

    An empty `command` is the image's. `user` is what `user_text` resolved to, `id_map` the ids for userns="auto" and
    "keep-id" (not used for "host"), `mounts` the engine's own (/etc/hosts and such). `inherited_ids` is for a caller
    that is in a user namespace already (rootless): the container then has no other one, and ids 0 to that less one."""
    uid_mappings, gid_mappings = _id_mappings("host" if inherited_ids else options.userns, id_map, machine)
    ids = inherited_ids or _ids_from_zero(gid_mappings) or min(1, len(gid_mappings))
    inherited = (IdMapping(0, 0, inherited_ids),) if inherited_ids else ()
    below = inherited_ids > 0 or (id_map is not None and id_map.own is not None)
    _check_user(user, inherited or uid_mappings, inherited or gid_mappings, _FEW_IDS if below else _NO_MAP)
    hostname = _hostname(options, machine, container_id)
    own_names = options.uts != "host" and not options.uts.startswith("container:")
    devices, device_mounts = _devices(options, sources, ids > 0)
    seccomp, annotation = _seccomp(options, machine)
    return Config(
        oci_version=VERSION,
        root=Root("rootfs", options.read_only),
        process=spec_process.build(options, image_config, command, machine, user, hostname),
        hostname=hostname if own_names else "",
        domainname=(options.domainname or "") if own_names else "",
        mounts=spec_mounts.build(options, machine, ids, (*mounts, *device_mounts)),
        annotations={**options.annotations, SECCOMP_ANNOTATION: annotation},
        linux=Linux(
            uid_mappings=uid_mappings,
            gid_mappings=gid_mappings,
            sysctl=_sysctls(options, ids),
            resources=spec_resources.build(options, machine, sources),
            namespaces=_namespaces(
                options.network, options.pid, options.ipc, options.uts, options.cgroupns, len(uid_mappings) > 0
            ),
            devices=devices,
            seccomp=seccomp,
            masked_paths=_visible((*hardening.MASKED_PATHS, *machine.throttle_counters), options)
            + options.security.mask,
            readonly_paths=_visible(hardening.READONLY_PATHS, options),
        ),
    )


def user_text(options: RunOptions, image_config: ImageConfig, machine: Machine) -> str:
    """Which user `users.resolve_user` is to resolve: the option's, or the caller's own with keep-id, or the image's."""
    if options.user is not None:
        return options.user
    return f"{machine.uid}:{machine.gid}" if options.userns == "keep-id" else image_config.user


@functools.lru_cache(maxsize=64)
def _namespaces(network: str, pid: str, ipc: str, uts: str, cgroups: str, own_ids: bool) -> tuple[Namespace, ...]:
    wanted = {
        "pid": pid != "host",
        "network": network != "host",
        "ipc": ipc != "host",
        "uts": uts != "host",
        "mount": True,
        "cgroup": cgroups != "host",
        "user": own_ids,
    }
    return tuple(Namespace(kind) for kind, own in wanted.items() if own)


def _id_mappings(
    userns: str, id_map: IdMap | None, machine: Machine
) -> tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]]:
    if userns == "host":
        return (), ()
    if id_map is None:
        raise NotSupported(
            "there is no range of ids for the container's user namespace",
            hint="userns='host' runs without one, which is weaker",
        )
    if userns == "keep-id":
        return keep_id_mappings(id_map, machine)
    gid_start = id_map.start if id_map.gid_start is None else id_map.gid_start
    return (IdMapping(0, id_map.start, id_map.count),), (IdMapping(0, gid_start, id_map.count),)


def keep_id_mappings(id_map: IdMap, machine: Machine) -> tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]]:
    """The maps of users and of groups in which the caller's own ids stay what they are. Raises InvalidOption for
    root."""
    if machine.uid == 0:
        raise InvalidOption(
            "userns: 'keep-id' keeps the id of an ordinary user, and this is root",
            hint="userns='auto', or 'host' to be the machine's root",
        )
    gid_start = id_map.start if id_map.gid_start is None else id_map.gid_start
    gid_count = id_map.count if id_map.gid_count is None else id_map.gid_count
    return (
        _keeping(machine.uid, id_map.own, id_map.start, id_map.count),
        _keeping(machine.gid, id_map.own, gid_start, gid_count),
    )


def _keeping(kept: int, own: int | None, start: int, count: int) -> tuple[IdMapping, ...]:
    """The range around one id that stays itself, or is `own` outside."""
    below = min(kept, count)
    parts = (
        IdMapping(0, start, below),
        IdMapping(kept, kept if own is None else own, 1),
        IdMapping(kept + 1, start + below, count - below),
    )
    return tuple(part for part in parts if part.size > 0)


def _ids_from_zero(mappings: tuple[IdMapping, ...]) -> int:
    """How many ids there are from 0 on without a gap; 0 when there is no map (and no user namespace)."""
    top = 0
    for mapping in mappings:
        if mapping.container_id == top:
            top += mapping.size
    return top


def _check_user(user: ResolvedUser, uids: tuple[IdMapping, ...], gids: tuple[IdMapping, ...], hint: str) -> None:
    for what, number, mappings in (
        ("user", user.uid, uids),
        *(("group", each, gids) for each in (user.gid, *user.groups)),
    ):
        if mappings and not any(each.container_id <= number < each.container_id + each.size for each in mappings):
            raise InvalidOption(
                f"user: the {what} id {number} is not among the container's ids ({_said(mappings)})",
                hint=hint,
            )


def _said(mappings: tuple[IdMapping, ...]) -> str:
    top = _ids_from_zero(mappings)
    apart = [each for each in mappings if each.container_id > top]
    first = [f"0 to {top - 1}"] if top else []
    return ", ".join(first + [f"{each.container_id}" for each in apart])


def _hostname(options: RunOptions, machine: Machine, container_id: str) -> str:
    """As Docker: with the machine's network or UTS namespace the machine's name, else the start of the id."""
    if options.hostname:
        return options.hostname
    shared = options.uts == "host" or options.network == "host"
    return machine.hostname if shared else container_id[:12]


def _sysctls(options: RunOptions, ids: int) -> dict[str, str]:
    """Docker's two for networks of their own (any port and ping without rights), then the user's."""
    if options.network == "host" or options.network.startswith("container:"):
        return dict(options.sysctls)
    groups = f"0 {ids - 1 if ids else 2147483647}"
    return {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": groups, **options.sysctls}


def _visible(paths: tuple[str, ...], options: RunOptions) -> tuple[str, ...]:
    shown = options.security.unmask
    if options.privileged or shown == ("ALL",):
        return ()
    if not shown:
        return paths
    return tuple(path for path in paths if not any(path == each or path.startswith(each + "/") for each in shown))


def _seccomp(options: RunOptions, machine: Machine) -> tuple[Seccomp | None, str]:
    wanted = options.security.seccomp
    if wanted == "unconfined" or (options.privileged and wanted == "default"):
        return None, "unconfined"
    if isinstance(wanted, str):
        return None, "default"
    from kernelbox.engine import seccomp_profile

    held = spec_process.capabilities(options.privileged, options.cap_add, options.cap_drop, True).bounding
    return seccomp_profile.to_oci(wanted, held, machine), "custom"


def _devices(options: RunOptions, sources: Sources, own_ids: bool) -> tuple[tuple[Device, ...], tuple[Mount, ...]]:
    """Nodes to make below /dev; the machine's are bound instead elsewhere, and where none can be made: in a user
    namespace (mknod(2)), or without leave from the device controller."""
    made = [each for each in options.devices if not own_ids and "m" in each.access and each.target.startswith("/dev/")]
    bound = tuple(
        Mount(each.target, "bind", each.source, ("bind", "rprivate", "nosuid", "noexec"))
        for each in options.devices
        if each not in made
    )
    asked = {each.target: sources.devices[each.source] for each in made}
    nodes = {path: sources.devices[path] for path in sources.every if not own_ids} | asked
    every = tuple(Device(path, n.type, n.major, n.minor, n.mode, n.uid, n.gid) for path, n in nodes.items())
    return every, bound
