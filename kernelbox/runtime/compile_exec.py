"""The plan of one more process in a container that runs: a shorter plan, which joins where the first one made."""

from __future__ import annotations

from collections.abc import Iterator

from kernelbox.linux.cgroups import Group
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config, Linux, Process
from kernelbox.runtime import compile_inside, compile_root
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.namespaces import NO_SPACES, flags_of
from kernelbox.runtime.plan import PROCESS, Plan
from kernelbox.runtime.setup import PROC, parent_slot
from kernelbox.runtime.steps import process as steps
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import OpenFolder
from kernelbox.runtime.steps.terminal import OpenTerminalInside
from kernelbox.runtime.target import Target

__all__ = ["compile_exec"]

_ROOT = "container's root"
_JOINED = lib.CLONE_NEWNS | lib.CLONE_NEWNET | lib.CLONE_NEWIPC | lib.CLONE_NEWUTS | lib.CLONE_NEWCGROUP


def compile_exec(config: Config, process: Process, target: Target, container: str) -> Plan:
    """`process` in the container with the id `container`, whose configuration is `config`; `target` has its groups."""
    return Plan(
        tuple(_outside(config, process, target, container)),
        tuple(_inside(config, process, target)),
        reveal="master" if process.terminal else NONE,
    )


def _outside(config: Config, process: Process, target: Target, container: str) -> Iterator[Step]:
    yield steps.FindProcess(container, PROCESS, _ROOT if process.terminal else NONE)
    unified = _unified(target)
    group = compile_root.V2_GROUP if unified else NONE
    if unified:
        yield OpenFolder(unified.path.name, group, parent_slot(str(unified.path.parent)))
    if process.terminal:
        linux = config.linux or Linux()
        owner = compile_root.outside(linux.uid_mappings, process.user.uid) or 0
        size = (process.console_size.height, process.console_size.width) if process.console_size else (0, 0)
        yield OpenTerminalInside(_ROOT, PROCESS, "master", "terminal", owner, size, group)
    yield steps.NewProcessBeside(PROCESS, group, flags_of(config) & (lib.CLONE_NEWNS | lib.CLONE_NEWNET))


def _unified(target: Target) -> Group | None:
    return next((group for group in target.groups if group.version == "v2"), None)


def _inside(config: Config, process: Process, target: Target) -> Iterator[Step]:
    yield from compile_inside.join_steps(target, NO_SPACES)
    yield steps.JoinNamespace(PROCESS, flags_of(config) & _JOINED)
    if process.cwd != "/":
        yield steps.ChangeFolder(process.cwd)
    yield from compile_inside.limit_steps(process, target, PROC)
    yield from compile_inside.become_steps(config, process, target, NO_SPACES)
