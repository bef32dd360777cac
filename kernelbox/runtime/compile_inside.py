"""The inside part of a plan: what the new process does to itself, up to and including exec."""

from __future__ import annotations

from collections.abc import Iterator

from kernelbox.errors import NotSupported
from kernelbox.linux import capabilities
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config, Process
from kernelbox.runtime import compile_hooks
from kernelbox.runtime.compile_root import group_title
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.namespaces import Spaces
from kernelbox.runtime.setup import parent_slot
from kernelbox.runtime.steps import process as steps
from kernelbox.runtime.steps import rights
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import JoinCgroup
from kernelbox.runtime.target import Target

__all__ = ["become_steps", "candidates", "join_steps", "limit_steps"]

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNLIMITED = (1 << 64) - 1


def join_steps(target: Target, spaces: Spaces) -> Iterator[Step]:
    """Into the groups first, so that all that follows is counted and limited; then into the namespaces."""
    for group in target.groups:
        if group.version == "v1":
            parent = parent_slot(str(group.path.parent))
            yield JoinCgroup(group.path.name, parent, group_title(group.controllers, "v1"))
    if spaces.new & lib.CLONE_NEWCGROUP:
        yield steps.UnshareNamespaces(lib.CLONE_NEWCGROUP)
    for descriptor, flag in spaces.joined:
        yield steps.JoinNamespace(descriptor, flag)


def limit_steps(process: Process, target: Target, proc: str) -> Iterator[Step]:
    if process.oom_score_adj is not None:
        # An ordinary user's process may not be traced while it shares the monitor's memory, so not write to itself
        # either.
        yield rights.SetOomScore(process.oom_score_adj, proc, optional=target.rootless)
    for limit in process.rlimits:
        number = getattr(lib, limit.type, None)
        if number is None:
            raise NotSupported(f"this kernel has no limit {limit.type}")
        yield rights.SetLimit(number, limit.soft, limit.hard, limit.type)
    if all(limit.type != "RLIMIT_NOFILE" for limit in process.rlimits):
        yield rights.RestoreFileLimit()


def become_steps(config: Config, process: Process, target: Target, spaces: Spaces) -> Iterator[Step]:
    """The last things: terminal and streams, folder, user, rights, program."""
    terminal = "terminal" if process.terminal else NONE
    yield steps.NewSession(terminal)
    yield steps.SetStandardStreams((terminal,) * 3 if terminal else target.streams)
    yield rights.SetUmask(0o022 if process.user.umask is None else process.user.umask)
    if target.userns:
        yield steps.JoinNamespace(target.userns, lib.CLONE_NEWUSER)
    if spaces.owned:
        yield steps.UnshareNamespaces(spaces.owned)
    yield rights.NewKeyring()
    yield from _rights(process, target)
    yield from compile_hooks.start_container(config, target)
    yield steps.CloseDescriptors()
    yield steps.Exec(candidates(process), process.args, process.env)


def _rights(process: Process, target: Target) -> Iterator[Step]:
    sets = process.capabilities
    masks = (
        [capabilities.parse(each) for each in (sets.bounding, sets.effective, sets.permitted, sets.inheritable)]
        if sets
        else None
    )
    if masks:
        yield rights.DropBounding(masks[0])
    if target.seccomp and not process.no_new_privileges:  # needs CAP_SYS_ADMIN, so before the capabilities go
        yield rights.LoadSeccomp(target.seccomp)
    if masks and process.user.uid:
        yield rights.KeepCapabilities()
    if not target.rootless or process.user.additional_gids:
        yield rights.SetGroups(process.user.additional_gids)
    yield rights.SetUser(process.user.uid, process.user.gid)
    if masks:
        yield rights.SetCapabilities(masks[1], masks[2], masks[3])
    if sets and masks:
        # Only what is permitted and inheritable can be ambient (capabilities(7)); `runc spec` asks for more, and runc
        # too leaves that out.
        ambient = capabilities.parse(sets.ambient) & masks[2] & masks[3]
        if ambient:
            yield rights.RaiseAmbient(ambient)
    if target.lease:
        yield steps.EndWithMonitor()
    if process.no_new_privileges:
        yield rights.NoNewPrivileges()
        if target.seccomp:
            yield rights.LoadSeccomp(target.seccomp)


def candidates(process: Process) -> tuple[str, ...]:
    """Where the program may be: as execvp(3), with the container's own PATH."""
    program = process.args[0]
    if "/" in program:
        return (program,)
    path = next((entry[5:] for entry in process.env if entry.startswith("PATH=")), _DEFAULT_PATH)
    return tuple(f"{folder.rstrip('/') or ''}/{program}" for folder in path.split(":") if folder) or (f"/{program}",)
