"""What a test left behind: everything of a machine that a container engine takes and must give back.

conftest.py takes a `snapshot()` before and after each test. pytest is made a subreaper (prctl(2)), so a process that is
orphaned becomes its child instead of init's, and every process that a test started stays in reach.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from kernelbox.store.paths import StorePaths, runtime_base

PR_SET_CHILD_SUBREAPER = 36
OURS = ("kernelbox", "kb-")
"""How the names of everything that kernelbox makes on a machine begin or what they contain."""

SHARED = ("id-ranges", "ids-in-use")
"""Beside the runtime folders of stores: what all stores of a user share. The first container since the machine was
started makes them; `id_marks` says what may not be left inside."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One sentence for every thing that exists, by kind."""

    mounts: frozenset[str]
    processes: frozenset[str]
    namespaces: frozenset[str]
    cgroups: frozenset[str]
    interfaces: frozenset[str]
    descriptors: frozenset[str]
    threads: frozenset[str]
    folders: frozenset[str]

    def left_since(self, before: Snapshot, excused: frozenset[str] = frozenset()) -> list[str]:
        """What is here and was not `before`, but for the kinds that are `excused`."""
        return [
            f"{kind.name}: {thing}"
            for kind in fields(self)
            if kind.name not in excused
            for thing in sorted(getattr(self, kind.name) - getattr(before, kind.name))
        ]


KINDS = frozenset(kind.name for kind in fields(Snapshot))


def become_subreaper() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def snapshot() -> Snapshot:
    processes = list(descendants())
    others = set(stores_of_others({process.pid for process in processes}))
    return Snapshot(
        mounts=frozenset(mounts()),
        processes=frozenset(map(str, processes)),
        namespaces=frozenset(namespaces(processes)),
        cgroups=frozenset(cgroups(others)),
        interfaces=frozenset(line.split(":")[0].strip() for line in lines("/proc/net/dev")[2:]),
        descriptors=frozenset(descriptors()),
        threads=frozenset(f"{thread.name} {thread.ident}" for thread in threading.enumerate()),
        folders=frozenset(folders(others)),
    )


def lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="surrogateescape").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []


def mounts() -> Iterator[str]:
    for line in lines("/proc/self/mountinfo"):
        number, _, _, root, point, *rest = line.split(" ")
        kind, source = rest[rest.index("-") + 1 :][:2]
        yield f"{kind} {source}{root} on {point} (mount {number})"


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    session: int
    state: str
    name: str
    started: int

    def __str__(self) -> str:
        state = "zombie " if self.state == "Z" else ""
        return f"{state}{self.name} (pid {self.pid}, started at tick {self.started})"


def processes() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (text := lines(f"/proc/{entry}/stat")):
            name, _, rest = "\n".join(text).partition("(")[2].rpartition(")")
            words = rest.split()
            yield Process(int(entry), int(words[1]), int(words[3]), words[0], name, int(words[19]))


def descendants() -> Iterator[Process]:
    """Every process that came from this one; zombies that on another machine would be init's are reaped instead."""
    children: dict[int, list[Process]] = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process)
    queue = [os.getpid()]
    while queue:
        for process in children.get(queue.pop(), []):
            if reaped_orphan(process):
                continue
            queue.append(process.pid)
            yield process


def reaped_orphan(process: Process) -> bool:
    """A zombie in a session which is not ours and which it does not lead: an orphan, not a child nobody waited for."""
    if process.state != "Z" or process.parent != os.getpid() or process.session in (os.getsid(0), process.pid):
        return False
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return True


def namespaces(of: list[Process]) -> Iterator[str]:
    """Those that are not ours and that a descendant is in or holds open."""
    own = set(links("/proc/self/ns"))
    for process in of:
        for link in {*links(f"/proc/{process.pid}/ns"), *links(f"/proc/{process.pid}/fd")} - own:
            if link.partition(":")[0] in ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"):
                yield f"{link} held by {process}"


def links(folder: str) -> Iterator[str]:
    """What they point to; those that end, are closed to us or are longer than readlink(2) takes are left out."""
    with suppress(OSError):
        for entry in Path(folder).iterdir():
            with suppress(OSError):
                yield os.readlink(entry)  # what a namespace link says is no path


def stores_of_others(own: set[int]) -> Iterator[str]:
    """The names of stores whose monitors run on this machine and did not come from us."""
    for process in processes():
        if process.name.startswith("kb-") and process.pid not in own:
            for link in links(f"/proc/{process.pid}/fd"):
                if link.endswith("/monitor.lock"):
                    yield StorePaths.of(link.removesuffix("/monitor.lock")).name


def cgroups(others: set[str]) -> Iterator[str]:
    roots = [line.split(" ")[4] for line in lines("/proc/self/mountinfo") if " - cgroup" in line]
    for root in roots:
        for folder, _, _ in os.walk(root):
            inside = folder.removeprefix(root)
            if any(name in inside for name in OURS) and not others & set(inside.split("/")):
                yield folder


def descriptors() -> Iterator[str]:
    folder = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in os.listdir(folder):  # a descriptor
            with suppress(FileNotFoundError):
                target = os.readlink(f"/proc/self/fd/{number}")  # "pipe:[1]" is no path
                if int(number) != folder:
                    yield f"{number} -> {target}"
    finally:
        os.close(folder)


def folders(others: set[str]) -> Iterator[str]:
    """Volatile state outside any store, which goes with the last container, and forgotten temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "/run")
    for parent in {tempfile.gettempdir(), "/tmp", "/dev/shm", "/run/kernelbox", f"{runtime}/kernelbox"}:
        own = parent.endswith("/kernelbox")
        with suppress(FileNotFoundError, PermissionError):
            for path in Path(parent).iterdir():
                if path.name.startswith(OURS) or (own and path.is_dir() and path.name not in {*others, *SHARED}):
                    yield str(path)


def left_in_store(root: Path) -> list[str]:
    """The folders of containers that have gone, what is still to be deleted, and the marks of ids of either."""
    parents = [root / "containers", root / "runs", root / "trash"]
    found = [str(path) for parent in parents if parent.exists() for path in parent.iterdir()]
    return found + [str(mark) for mark in id_marks(root)]


def id_marks(root: Path) -> Iterator[Path]:
    """The links that say which ranges of ids belong to containers of the store at `root`."""
    marks = runtime_base() / "ids-in-use"
    for mark in marks.iterdir() if marks.is_dir() else ():
        with suppress(FileNotFoundError):
            if mark.readlink().is_relative_to(root.resolve()):
                yield mark
