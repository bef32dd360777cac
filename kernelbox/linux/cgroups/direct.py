"""A group to hold in the hand: made, used and removed by this process. For labs and tests; launches use plain
values."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from kernelbox.errors import KernelError, NotFound, NotSupported
from kernelbox.linux.cgroups import freezer
from kernelbox.linux.cgroups.detect import detect
from kernelbox.linux.cgroups.hybrid import Hybrid
from kernelbox.linux.cgroups.model import Group, Limits
from kernelbox.linux.cgroups.stats import Usage, parse
from kernelbox.linux.cgroups.v1 import V1
from kernelbox.linux.cgroups.v2 import V2
from kernelbox.linux.cgroups.writing import ordered, write

__all__ = ["Cgroup", "create"]


def create(name: str, limits: Limits | None = None, *, hierarchy: V1 | V2 | Hybrid | None = None) -> Cgroup:
    """Make the group `name` (a path such as "lesson" or "lab/lesson") with its limits; use it in a `with` block.

    Raises NotSupported where no group may be made or a limit cannot be enforced, KernelError where the kernel
    refuses."""
    hierarchy = hierarchy or detect()
    limits = limits or Limits()
    group = Cgroup(name, hierarchy)
    try:
        group.set(limits)
    except BaseException:
        group.remove()
        raise
    return group


class Cgroup:
    """A group in every tree that it needs. `groups` are its directories, the v2 one first."""

    def __init__(self, name: str, hierarchy: V1 | V2 | Hybrid) -> None:
        self.name = name
        self.hierarchy = hierarchy
        self.groups: tuple[Group, ...] = ()
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self.remove()

    def __repr__(self) -> str:
        return f"<Cgroup {self.name} in {', '.join(str(group.path) for group in self.groups)}>"

    def set(self, limits: Limits) -> None:
        """Give the group these limits; those not asked for stay as they are.

        On v1 a limit may need a directory in one more tree: it is made and the processes are moved into it."""
        if reasons := self.hierarchy.unsupported(limits):
            raise NotSupported(f"could not limit the control group {self.name}: {'; '.join(reasons)}")
        wanted = self.hierarchy.groups(self.name, limits)
        if not wanted:
            raise NotSupported(
                "no control group may be made here", hint="run as root, or in a group delegated to this user"
            )
        have = {group.path for group in self.groups}
        parent, _, _ = self.name.rpartition("/")
        for above in self.hierarchy.parents(parent) if parent else _delegation(self.hierarchy, self.name):
            self._make(above)
        processes = self.processes()
        for group in wanted:
            self._make(group)
            if group.path not in have:
                self.groups = (*self.groups, group)
                for pid in processes:
                    write(group.path / "cgroup.procs", str(pid))

    def attach(self, pid: int) -> None:
        """Move the process `pid` with all its threads into the group; leaving the `with` block will kill it."""
        for group in self.groups:
            write(group.path / "cgroup.procs", str(pid))

    def processes(self) -> tuple[int, ...]:
        """The ids of the processes in the group, as this process's pid namespace sees them."""
        if not self.groups:
            return ()
        return tuple(int(line) for line in (self.groups[0].path / "cgroup.procs").read_text().split())

    def read(self, file: str) -> str:
        """The contents of a file of the group, such as "pids.current", from the first tree that has it."""
        for group in self.groups:
            if (group.path / file).exists():
                return (group.path / file).read_text()
        raise NotFound(f"the control group {self.name} has no file {file!r}")

    def usage(self) -> Usage:
        """What the group has used until now."""
        files = {}
        for counter in self.hierarchy.counters(self.groups):
            path = self.groups[counter.group_index].path / counter.file
            if path.exists():
                files[counter.key] = path.read_bytes()
        return parse(files)

    def freeze(self) -> None:
        """Stop all processes of the group where they are, and return when they stand still."""
        freezer.freeze(self.groups)

    def thaw(self) -> None:
        """Let them go on."""
        freezer.thaw(self.groups)

    def kill(self) -> None:
        """Kill every process of the group, also frozen ones and those that fork meanwhile; returns when all have
        ended."""
        v2 = next((group.path for group in self.groups if group.version == "v2"), None)
        if v2 is None:
            self._kill_each()
        else:
            write(v2 / "cgroup.kill", "1")
            _wait_event(v2, "populated 0")

    def remove(self) -> None:
        """Remove the directories that were made for the group. Raises KernelError (EBUSY) while it has processes."""
        while self._made:
            try:
                self._made[-1].rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                raise KernelError(
                    error.errno or 0, "remove", str(self._made[-1]), hint="kill() ends its processes"
                ) from error
            self._made.pop()
        self.groups = ()

    def _make(self, group: Group) -> None:
        try:
            group.path.mkdir()
            self._made.append(group.path)
        except FileExistsError:
            pass
        except OSError as error:
            raise KernelError(error.errno or 0, "make the control group", str(group.path)) from error
        for file, value in ordered(group):
            write(group.path / file, value)

    def _kill_each(self) -> None:
        """v1 has no kill of its own: freeze, so that nobody forks away, signal each, thaw; until none is left."""
        while pids := self.processes():
            freezable = any("freezer" in group.controllers for group in self.groups)
            if freezable:
                self.freeze()
            ended = [pidfd for pid in (self.processes() if freezable else pids) if (pidfd := _kill(pid)) is not None]
            if freezable:
                self.thaw()
            for pidfd in ended:
                select.select([pidfd], [], [])
                os.close(pidfd)


def _delegation(hierarchy: V1 | V2 | Hybrid, name: str) -> tuple[Group, ...]:
    """What a group directly below the base needs of the base itself: on v2 its controllers."""
    return tuple(group for group in hierarchy.parents(name) if not str(group.path).endswith(f"/{name}"))


def _wait_event(group: Path, line: str) -> None:
    """Wait until cgroup.events says `line`; the kernel signals a change of that file by POLLPRI."""
    with (group / "cgroup.events").open("rb", buffering=0) as events:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while line.encode() not in os.pread(events.fileno(), 4096, 0).splitlines():
            poller.poll()


def _kill(pid: int) -> int | None:
    """Send SIGKILL; a pidfd that becomes readable at the end, or None where the process has gone already."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        os.close(pidfd)
        return None
    return pidfd
