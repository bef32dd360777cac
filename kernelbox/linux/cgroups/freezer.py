"""Stops all processes of a container where they are, and lets them go on: `docker pause` and `unpause`.

A v2 group does it by `cgroup.freeze` and says in `cgroup.events` when all stand still; such processes can still be
killed. The v1 freezer has no event and holds processes so fast that a signal waits until they are thawed. Where there
are both, as on hybrid machines, a container has a v2 group and that is the one to freeze.
"""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Sequence
from pathlib import Path

from kernelbox.errors import Conflict, KernelBoxError, KernelError, NotSupported
from kernelbox.linux.cgroups.model import Group
from kernelbox.linux.cgroups.writing import GONE, ended, write

__all__ = ["FREEZE_SECONDS", "freeze", "frozen", "thaw"]

FREEZE_SECONDS = 10.0
"""A process that waits for a disk or a network file system cannot be stopped before that answers."""


def freeze(groups: Sequence[Group], seconds: float = FREEZE_SECONDS) -> None:
    """Stops every process of the container, and returns when they stand still; nothing where they do already.

    Raises KernelError (ETIMEDOUT) where one cannot be stopped in so many `seconds`: then all go on as before;
    NotSupported where there is no freezer, Conflict where the container has ended."""
    group = _freezer(groups)
    try:
        _bring(group, True, seconds)
    except Conflict:
        raise
    except BaseException as error:  # an interrupt too: nobody would know that it has to be thawed
        try:
            _ask(group, False)
        except KernelBoxError as second:
            error.add_note(f"and it could not be thawed: {second}")
        raise


def thaw(groups: Sequence[Group], seconds: float = FREEZE_SECONDS) -> None:
    """Lets them go on. Raises as `freeze` does."""
    _bring(_freezer(groups), False, seconds)


def frozen(groups: Sequence[Group]) -> bool:
    """Whether all processes of the container stand still, as the kernel says it. Raises as `freeze` does."""
    group = _freezer(groups)
    try:
        return _stands(group) is True
    except OSError as error:
        raise _failure(error, group) from error


def _freezer(groups: Sequence[Group]) -> Group:
    for group in groups:
        if group.version == "v2":
            return group
    for group in groups:
        if "freezer" in group.controllers:
            return group
    raise NotSupported(
        "a container without a control group to freeze cannot be paused",
        hint="run as root, or in a group delegated to this user, with cgroup v2 or the v1 freezer mounted",
    )


def _bring(group: Group, still: bool, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    _ask(group, still)
    try:
        reached = _wait_v2(group.path, still, deadline) if group.version == "v2" else _wait_v1(group, still, deadline)
    except OSError as error:
        raise _failure(error, group) from error
    if not reached:
        hint = "one of its processes waits for a disk or a network file system; try again when that answers"
        raise KernelError(errno.ETIMEDOUT, "freeze" if still else "thaw", str(group.path), hint=hint)


def _ask(group: Group, still: bool) -> None:
    try:
        if group.version == "v2":
            write(group.path / "cgroup.freeze", str(int(still)))
        else:
            write(group.path / "freezer.state", "FROZEN" if still else "THAWED")
    except KernelError as error:
        raise _failure(error, group) from error


def _failure(error: OSError, group: Group) -> KernelBoxError:
    if error.errno in GONE:
        return ended(group)
    return error if isinstance(error, KernelError) else KernelError(error.errno or 0, "freeze or thaw", str(group.path))


def _stands(group: Group) -> bool | None:
    """None is the v1 freezer's "not all of them yet"."""
    if group.version == "v2":
        return "frozen 1" in (group.path / "cgroup.events").read_text().splitlines()
    return {"FROZEN": True, "THAWED": False}.get((group.path / "freezer.state").read_text().strip())


def _wait_v2(group: Path, still: bool, deadline: float) -> bool:
    """The kernel signals a change of cgroup.events by POLLPRI."""
    wanted = f"frozen {int(still)}".encode()
    with (group / "cgroup.events").open("rb", buffering=0) as events:
        poller = select.poll()
        poller.register(events, select.POLLPRI)
        while wanted not in events.read(4096).splitlines():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
            events.seek(0)
    return True


def _wait_v1(group: Group, still: bool, deadline: float) -> bool:
    # "FREEZING" becomes "FROZEN" when the file is read and all have stopped; there is no event to wait for. Asking
    # again also stops those that were forked meanwhile.
    while _stands(group) is not still:
        if time.monotonic() > deadline:
            return False
        _ask(group, still)
        time.sleep(0.001)
    return True
