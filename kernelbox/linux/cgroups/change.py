"""Changes the limits of a running container: `docker update`.

All or nothing: what has been written is put back where a later limit is refused. Lowering memory below what is in use
is refused on both versions. v1 does so itself (EBUSY); v2 would kill processes until it fits, so there the memory is
asked back first (memory.reclaim, Linux 5.19).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from kernelbox.errors import Conflict, InvalidOption, KernelBoxError, KernelError, NotSupported
from kernelbox.linux.cgroups import freezer
from kernelbox.linux.cgroups.hybrid import Hybrid
from kernelbox.linux.cgroups.live import processes
from kernelbox.linux.cgroups.model import Group, Limits, Writes
from kernelbox.linux.cgroups.v1 import V1
from kernelbox.linux.cgroups.v2 import V2
from kernelbox.linux.cgroups.writing import GONE, ended, ordered, write
from kernelbox.oci.units import format_size

__all__ = ["remove", "update"]

_MEMORY = ("memory.max", "memory.limit_in_bytes")


def update(hierarchy: V1 | V2 | Hybrid, groups: Sequence[Group], limits: Limits) -> tuple[Group, ...]:
    """Gives a running container these limits; those not asked for stay as they are. -1 lifts a limit.

    Returns the container's groups as they are now. On v1 a limit of cpus may need a directory in a tree where the
    container had none: it is made, and all processes are moved into it while they stand still. Such groups come last;
    they are the caller's to `remove` after the container's end, and to join with what is started in it later.

    Raises NotSupported where this machine cannot enforce one, Conflict where more memory is in use than is to be
    allowed or the container has ended, InvalidOption or KernelError where the kernel refuses a value. Then nothing has
    changed."""
    if reasons := hierarchy.unsupported(limits):
        raise NotSupported(f"could not change the limits: {'; '.join(reasons)}")
    if not groups:
        raise NotSupported(
            "a container without control groups has no limits that could be changed",
            hint="run as root, or in a group delegated to this user",
        )
    if not groups[0].path.exists():
        raise ended(groups[0])
    try:
        return (*groups, *_update(hierarchy, groups, limits))
    except OSError as error:
        if isinstance(error, KernelError) or error.errno not in GONE:
            raise
        raise ended(groups[0]) from error


def _update(hierarchy: V1 | V2 | Hybrid, groups: Sequence[Group], limits: Limits) -> list[Group]:
    have = {group.path for group in groups}
    wanted = hierarchy.groups(_name(hierarchy, groups), limits)
    with _undone_on_failure() as written:
        for group in wanted:
            if group.path in have:
                _change(replace(group, writes=_only_asked(group, limits)), written)
        made = [group for group in wanted if group.path not in have and group.writes]
        _join(hierarchy, groups, made)
    return made


def remove(groups: Iterable[Group]) -> None:
    """Removes directories that `update` made; those that have gone already are fine.

    Raises KernelError (EBUSY) while there are processes in one."""
    for group in groups:
        try:
            group.path.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise KernelError(
                error.errno or 0, "remove the control group", str(group.path), hint="end the container first"
            ) from error


def _name(hierarchy: V1 | V2 | Hybrid, groups: Sequence[Group]) -> str:
    """The container's place below the base of each tree, such as "kernelbox/ab12/c0ffee"."""
    bases = [mount.base for mount in hierarchy.controllers.values()]
    v2 = hierarchy.v2 if isinstance(hierarchy, Hybrid) else hierarchy
    bases += [v2.base] if isinstance(v2, V2) else []
    for group in groups:
        for base in bases:
            if base is not None and group.path.is_relative_to(base):
                return str(group.path.relative_to(base))
    raise InvalidOption(f"the control group {groups[0].path} is in none of the trees that this user may write to")


def _only_asked(group: Group, limits: Limits) -> Writes:
    """The writes of a group that lives: the values that a new one needs beside the asked ones are not repeated."""
    writes = []
    not_asked = {"cpuset.cpus": not limits.cpuset_cpus, "cpuset.mems": not limits.cpuset_mems}
    for file, value in group.writes:
        if not_asked.get(file):
            continue
        if file == "cpu.max":
            value = _kept_half(group.path / file, limits, value)
        writes.append((file, value))
    lifted = group.path / "memory.memsw.limit_in_bytes"
    if "memory" in group.controllers and limits.memory == -1 and limits.memory_swap is None and lifted.exists():
        writes.append((lifted.name, "-1"))  # as it may not be less than what is lifted
    return tuple(writes)


def _kept_half(file: Path, limits: Limits, value: str) -> str:
    """cpu.max is quota and period together; the one that is not asked for stays."""
    quota, period = value.split()
    now = file.read_text().split()
    if limits.quota is None:
        quota = now[0]
    if limits.cpus is None and limits.cpu_period is None:
        period = now[1]
    return f"{quota} {period}"


def _change(group: Group, written: list[tuple[Path, str]]) -> None:
    for file, value in ordered(group):
        path = group.path / file
        try:
            before = path.read_text().strip()
            if file == "memory.max" and value != "max":
                _reclaim(group.path, int(value))
            write(path, value)
        except OSError as error:
            raise _refusal(group, file, value, error) from error
        except InvalidOption as error:
            raise _impossible(group.path, file, value) or error from error
        if "\n" not in before and not before.partition(" ")[0].partition(":")[2]:  # not one line per device
            written.append((path, before))


def _reclaim(group: Path, limit: int) -> None:
    excess = int((group / "memory.current").read_text()) - limit
    if excess > 0 and (group / "memory.reclaim").exists():
        write(group / "memory.reclaim", str(excess))


def _refusal(group: Group, file: str, value: str, error: OSError) -> KernelBoxError:
    if error.errno in GONE and not group.path.exists():
        return ended(group)
    if file in _MEMORY and error.errno in (errno.EBUSY, errno.EAGAIN):
        used = group.path / ("memory.current" if file == "memory.max" else "memory.usage_in_bytes")
        return Conflict(
            f"could not lower the memory limit to {format_size(int(value))}: "
            f"{format_size(int(used.read_text()))} are in use, and the kernel could not free enough of it",
            hint="end some of its processes first, or allow more",
            status_found="running",
        )
    if isinstance(error, KernelError):
        return error
    return KernelError(error.errno or 0, f"write {value!r} to", str(group.path / file))


def _impossible(group: Path, file: str, value: str) -> InvalidOption | None:
    """A better sentence than that the kernel does not take it."""
    total = group / "memory.memsw.limit_in_bytes"
    if file != "memory.limit_in_bytes" or not total.exists() or 0 <= int(value) <= int(total.read_text()):
        return None
    return InvalidOption(
        f"the memory limit cannot become {format_size(int(value))}: "
        f"the limit of memory and swap together is {format_size(int(total.read_text()))}",
        hint="change memory_swap at the same time; -1 lifts it",
    )


@contextmanager
def _undone_on_failure() -> Iterator[list[tuple[Path, str]]]:
    """Puts back what stood in the files of the list that it gives, the last first."""
    written: list[tuple[Path, str]] = []
    try:
        yield written
    except BaseException as error:
        for path, before in reversed(written):
            try:
                write(path, before)
            except KernelBoxError as second:
                error.add_note(f"and the limit before could not be put back: {second}")
        raise


def _join(hierarchy: V1 | V2 | Hybrid, groups: Sequence[Group], made: Sequence[Group]) -> None:
    if not made:
        return
    stood_still = freezer.frozen(groups)
    if not stood_still:
        freezer.freeze(groups)  # so that no process forks away while it is moved
    try:
        for group in made:
            _make(hierarchy, group)
            for _ in range(2):  # again, for what was started into the container meanwhile
                for pid in sorted({*processes(groups)} - {*processes([group])}):
                    _move(pid, group)
    except BaseException:
        _leave(made)
        raise
    finally:
        if not stood_still:
            freezer.thaw(groups)


def _make(hierarchy: V1 | V2 | Hybrid, group: Group) -> None:
    above = [] if group.path.parent.exists() else _above(hierarchy, group)
    for each in (*above, group):
        try:
            each.path.mkdir(exist_ok=True)
        except OSError as error:
            raise KernelError(error.errno or 0, "make the control group", str(each.path)) from error
        for file, value in each.writes:
            write(each.path / file, value)


def _above(hierarchy: V1 | V2 | Hybrid, group: Group) -> list[Group]:
    parents = hierarchy.parents(str(Path(_name(hierarchy, [group])).parent))
    return [each for each in parents if group.path.is_relative_to(each.path)]


def _move(pid: int, group: Group) -> None:
    try:
        write(group.path / "cgroup.procs", str(pid))
    except KernelError as error:
        if error.errno != errno.ESRCH:  # it was killed meanwhile
            raise


def _leave(made: Sequence[Group]) -> None:
    """Processes go back to the group above and the directories away, as far as they had come."""
    for group in made:
        for pid in processes([group]):
            _move(pid, replace(group, path=group.path.parent))
    remove(made)
