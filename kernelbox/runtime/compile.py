"""From an OCI configuration and a root file system to the plan of one container. Data to data: nothing is done here."""

from __future__ import annotations

from collections.abc import Iterator

from kernelbox.errors import InvalidOption
from kernelbox.linux import capabilities, netlink
from kernelbox.linux.mount_options import PROPAGATION
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config, Linux, Process
from kernelbox.runtime import compile_hooks, compile_inside, compile_mounts, compile_root
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.namespaces import NETNS, Spaces, spaces_of
from kernelbox.runtime.plan import FOLDER, OUTPUT, Plan
from kernelbox.runtime.setup import CONTAINERS, FILES, RUNS, TRASH, is_ready, parent_slot
from kernelbox.runtime.steps import process as steps
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.ending import (
    GiveNetworkNamespace,
    Hold,
    KillCgroup,
    ReadCounter,
    RemoveCgroup,
    RemoveFile,
    Sweep,
)
from kernelbox.runtime.steps.mounts import (
    ROOT,
    ClearWorkshop,
    EnterRoot,
    MakePath,
    ProtectRoot,
    SetPropagation,
    Unmount,
)
from kernelbox.runtime.steps.outbound import EndWayOut, OpenWayOut, TieWayOut
from kernelbox.runtime.steps.terminal import OpenTerminal
from kernelbox.runtime.target import Target
from kernelbox.runtime.unsupported import refuse_contradictions, refuse_unsupported

__all__ = ["NETWORK_KEY", "compile_plan"]

NETWORK_KEY = 1000
"""The key of the network counters in the exit record; those of control groups are the indices of `target.counters`."""

_SOCKET, _KEEPER = "way out", "keeper of the way out"
_TTY = 5
"""The group of terminals, by Debian's numbers."""


def compile_plan(config: Config, target: Target, *, network: str = NONE) -> Plan:
    """`network` names a network namespace that was made for this container. Raises InvalidOption or NotSupported."""
    process = config.process
    if process is None or not process.args:
        raise InvalidOption("the configuration has no process to run: process.args is missing")
    refuse_unsupported(config)
    refuse_contradictions(config)
    held = capabilities.parse(process.capabilities.bounding) if process.capabilities else (1 << 64) - 1
    if target.way_out:
        network = NETNS
    spaces = spaces_of(config, held, network=network, rootless=target.rootless, beside=target.beside)
    owner = compile_root.owner_of(config)
    return Plan(
        tuple(_outside(config, process, target, spaces, owner)),
        tuple(_inside(config, process, target, spaces, owner)),
        tuple(_last(config, target, spaces)),
        reveal=_master(target) if process.terminal else NONE,
    )


def _outside(
    config: Config, process: Process, target: Target, spaces: Spaces, owner: tuple[int, int]
) -> Iterator[Step]:
    yield from compile_root.group_steps(target)
    yield from compile_root.folder_steps(target, owner)
    yield from compile_root.root_steps(config, target, owner)
    yield from compile_root.bind_steps(config, target)
    yield from compile_mounts.device_binds(target)
    yield from _devpts(config, process, target)
    yield from compile_root.stream_steps(target, process.terminal)
    yield from spaces.opened
    if spaces.pooled:
        yield steps.TakeNetworkNamespace(NETNS)
    if target.way_out:
        yield OpenWayOut(target.way_out[0], target.way_out[1:], _SOCKET, _KEEPER, NETNS)
    later = (
        lib.CLONE_NEWUSER | lib.CLONE_NEWCGROUP | lib.CLONE_NEWTIME | (0 if spaces.fresh_network else lib.CLONE_NEWNET)
    )
    v2 = any(group.version == "v2" for group in target.groups)
    yield steps.NewNamespaces(spaces.new & ~later, compile_root.V2_GROUP if v2 else NONE, spaces.pid_of)
    yield from compile_hooks.poststart(config, target)


def _master(target: Target) -> str:
    """The terminal's side of whoever watches: of a kept container the monitor does."""
    return OUTPUT if target.kept else "master"


def _devpts(config: Config, process: Process, target: Target) -> Iterator[Step]:
    mount = next((mount for mount in config.mounts if mount.type == "devpts"), None)
    if mount is None:
        return
    yield compile_mounts.make_devpts(mount, config)
    if process.terminal:
        linux = config.linux or Linux()
        owner = compile_root.outside(linux.uid_mappings, process.user.uid) or 0
        group = compile_root.outside(linux.gid_mappings, _TTY) or 0
        size = (process.console_size.height, process.console_size.width) if process.console_size else (0, 0)
        yield OpenTerminal("devpts", _master(target), "terminal", owner, group, size)


def _inside(config: Config, process: Process, target: Target, spaces: Spaces, owner: tuple[int, int]) -> Iterator[Step]:
    if target.kept:
        yield steps.NoteRunning(FOLDER)
    if target.way_out:
        yield TieWayOut(_SOCKET)
    yield from compile_inside.join_steps(target, spaces)
    yield from compile_hooks.early(config, target)
    if owner != (0, 0):
        yield steps.ActAs(*owner)
    if spaces.fresh_network or target.way_out:
        yield steps.SendNetlink(netlink.link_up(1), "bring the loopback up")
    yield from compile_mounts.early_mounts(config)
    if target.rootless:
        yield Unmount("/proc")
        yield Unmount("/sys")
    yield EnterRoot()
    yield from compile_mounts.mount_steps(config, target, owner, process.terminal)
    yield from _names(config)
    yield from _sysctls(config, spaces)
    yield from compile_mounts.hide_steps(config, target)
    if spaces.new & lib.CLONE_NEWTIME:
        yield _time(config)
    if process.cwd != "/":
        yield MakePath(process.cwd)
    if config.root.readonly:
        yield ProtectRoot()
    propagation = config.linux.rootfs_propagation if config.linux else ""
    if propagation and propagation != "private":
        yield SetPropagation("/", PROPAGATION[propagation] | lib.MS_REC, propagation)
    if process.cwd != "/":  # by a descriptor, of which there may soon be too many
        yield steps.ChangeFolder(process.cwd)
    yield from compile_inside.limit_steps(process, target, compile_mounts.proc_of(config))
    yield from compile_inside.become_steps(config, process, target, spaces)


def _names(config: Config) -> Iterator[Step]:
    if config.hostname:
        yield steps.SetHostname(config.hostname)
    if config.domainname:
        yield steps.SetDomainname(config.domainname)


def _sysctls(config: Config, spaces: Spaces) -> Iterator[Step]:
    for name, value in (config.linux.sysctl if config.linux else {}).items():
        if not (spaces.pooled and is_ready(name, value)):
            yield steps.SetSysctl(name, value, compile_mounts.proc_of(config))


def _time(config: Config) -> Step:
    offsets = config.linux.time_offsets if config.linux else {}
    every = tuple((clock, each.secs or 0, each.nanosecs or 0) for clock, each in offsets.items())
    return steps.SetTimeOffsets(every, compile_mounts.proc_of(config))


def _last(config: Config, target: Target, spaces: Spaces) -> Iterator[Step]:
    shares_processes = not spaces.new & lib.CLONE_NEWPID
    if target.way_out:
        yield EndWayOut(_SOCKET, _KEEPER)
    for group in target.groups:
        if group.version == "v2" and shares_processes:
            yield KillCgroup(group.path.name, parent_slot(str(group.path.parent)))
    for key, counter in enumerate(target.counters):
        group = target.groups[counter.group_index]
        yield ReadCounter(f"{group.path.name}/{counter.file}", parent_slot(str(group.path.parent)), key)
    if spaces.pooled:
        sysctls = config.linux.sysctl if config.linux else {}
        changed = any(name.startswith("net.") and not is_ready(name, value) for name, value in sysctls.items())
        # Without a user namespace of its own the container may have had rights over it (CAP_NET_ADMIN).
        yield GiveNetworkNamespace(NETNS, NETWORK_KEY, reusable=not changed and target.userns != NONE)
    for group in target.groups:
        title = compile_root.group_title(group.controllers, group.version)
        yield RemoveCgroup(group.path.name, parent_slot(str(group.path.parent)), title)
    if not target.features.overlay_by_fd and target.rootfs.layers:
        yield ClearWorkshop((*(f"/{number}" for number in range(len(target.rootfs.layers))), "/scratch"))
    yield from compile_hooks.poststop(config, target)
    if target.swept:
        yield Sweep(target.id, CONTAINERS if target.kept else RUNS, TRASH)
    if target.id_mark:
        yield RemoveFile(target.id_mark, NONE)
    for path in target.files:
        yield RemoveFile(compile_root.own_file(target, path), FILES)
    yield Hold(ROOT)
    # A mount that is attached nowhere ends with its last descriptor, and that waits for every processor.
    for number, layer in enumerate(target.rootfs.layers):
        if layer.mapped and not layer.given:
            yield Hold(compile_root.layer_name(number))
    yield from (Hold(name) for name in target.held)
