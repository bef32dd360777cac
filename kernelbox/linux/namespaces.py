"""Namespaces: what a process sees of the machine (namespaces(7)).

Each kind covers one thing: the tree of mounts, process ids, network interfaces, host name ... A process is in one of
each kind and its children are born into the same. A namespace lives as long as a process is in it or a descriptor holds
it; the files in /proc/PID/ns are how one gets hold of it.

    >>> from kernelbox.linux import namespaces
    >>> with namespaces.create("uts", "net") as made:                  # as root
    ...     with made.entered("uts"):
    ...         socket.sethostname("inside")                           # the machine keeps its name
    >>> [space.kind for space in namespaces.of("self").identify()]     # doctest: +SKIP
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import InvalidOption
from kernelbox.linux import idmap
from kernelbox.linux.descriptor import Closing, Descriptor
from kernelbox.native import check, cstring, ffi, lib

__all__ = ["KINDS", "Kind", "Namespace", "NamespaceInfo", "Namespaces", "create", "identify", "list_all", "of"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of namespace: its short name, the CLONE_NEW* flag, its file in /proc/PID/ns and the OCI spec's word."""

    name: str
    flag: int
    file: str
    oci: str


KINDS = {
    kind.name: kind
    for kind in (  # in the order of kb_make_namespaces
        Kind("user", lib.CLONE_NEWUSER, "user", "user"),
        Kind("mnt", lib.CLONE_NEWNS, "mnt", "mount"),
        Kind("pid", lib.CLONE_NEWPID, "pid", "pid"),
        Kind("net", lib.CLONE_NEWNET, "net", "network"),
        Kind("ipc", lib.CLONE_NEWIPC, "ipc", "ipc"),
        Kind("uts", lib.CLONE_NEWUTS, "uts", "uts"),
        Kind("cgroup", lib.CLONE_NEWCGROUP, "cgroup", "cgroup"),
        Kind("time", lib.CLONE_NEWTIME, "time", "time"),
    )
}
"""All kinds, by name."""

_LINK = re.compile(r"(\w+):\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Namespace:
    """Which namespace it is: equal for two processes exactly if they share it."""

    kind: str
    inode: int


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """A namespace that processes are in: how many, and the first of them."""

    namespace: Namespace
    processes: int
    pid: int
    command: str


def time_is_entered_by_exec() -> bool:
    """Whether a program that is started is in the time namespace made for it, as since Linux 6.3; before, only what it
    forks is (time_namespaces(7))."""
    major, minor, *_ = re.findall(r"\d+", os.uname().release)
    return (int(major), int(minor)) >= (6, 3)


class Namespaces(Closing):
    """Descriptors of namespaces, by kind, closed at the end of the block: nothing of them is left then unless a process
    is inside."""

    def __init__(self, descriptors: Mapping[str, Descriptor]) -> None:
        self.descriptors = dict(descriptors)

    def __getitem__(self, kind: str) -> Descriptor:
        return self.descriptors[kind]

    def identify(self) -> tuple[Namespace, ...]:
        """Which namespaces these are."""
        return tuple(identify(descriptor.fileno()) for descriptor in self.descriptors.values())

    def close(self) -> None:
        """Let go of them; does nothing the second time."""
        for descriptor in self.descriptors.values():
            descriptor.close()

    @contextmanager
    def entered(self, *kinds: str) -> Iterator[None]:
        """This thread is in those of `kinds` inside the block: net, uts, ipc and cgroup. (The kernel does not let one
        thread alone into another user or mount namespace, and pid and time are for children only.)"""
        for kind in kinds:
            if kind not in ("net", "uts", "ipc", "cgroup"):
                raise InvalidOption(f"one thread alone cannot enter a {kind} namespace and come back")
        with ExitStack() as back:
            for kind in kinds:
                home = back.enter_context(
                    Descriptor(os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
                )
                check(lib.kb_setns(self[kind].fileno(), KINDS[kind].flag), "enter a namespace:", kind)
                back.callback(_return, home, kind)
            yield


def _return(home: Descriptor, kind: str) -> None:
    check(lib.kb_setns(home.fileno(), KINDS[kind].flag), "return from a namespace:", kind)


def create(*kinds: str, uid_map: Sequence[idmap.IdRange] = (), gid_map: Sequence[idmap.IdRange] = ()) -> Namespaces:
    """New namespaces of these kinds ("net", "uts" ...), held by descriptors, with no process inside.

    With "user" among them the others belong to it, and the maps are its own (empty: none yet). Namespaces of the kinds
    pid and time cannot be had this way: they come with a first process. Raises InvalidOption, KernelError."""
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidOption(f"unknown kind of namespace {kind!r}", hint=f"there are {', '.join(KINDS)}")
    for kind in {"pid", "time"} & set(kinds):  # only children of who makes one are in it (unshare(2))
        raise InvalidOption(f"a {kind} namespace comes with its first process", hint=f"unshare --{kind} --fork COMMAND")
    flags = sum(KINDS[kind].flag for kind in set(kinds))
    maps = [cstring(idmap.text(each) if each else None) for each in (uid_map, gid_map)]
    fds = ffi.new("int[8]")
    check(lib.kb_make_namespaces(flags, *maps, fds), "make the namespaces", " ".join(kinds))
    return Namespaces({kind: Descriptor(fd) for kind, fd in zip(KINDS, fds, strict=True) if fd >= 0})


def of(pid: int | str, proc: Path = Path("/proc")) -> Namespaces:
    """The namespaces that a process is in. Raises OSError where it is gone or may not be looked at."""
    with ExitStack() as opened:
        found = {}
        for name, kind in KINDS.items():
            path = proc / str(pid) / "ns" / kind.file
            if path.exists():  # a kernel may lack a kind
                found[name] = opened.enter_context(Descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
        opened.pop_all()
    return Namespaces(found)


def identify(fd: int) -> Namespace:
    """The namespace behind a descriptor. Raises InvalidOption where it is of something else."""
    return _parse(str(Path(f"/proc/self/fd/{fd}").readlink()))


def _parse(link: str) -> Namespace:
    found = _LINK.fullmatch(link)
    if not found:
        raise InvalidOption(f"{link} is not a namespace")
    return Namespace(found[1], int(found[2]))


def list_all(proc: Path = Path("/proc")) -> tuple[NamespaceInfo, ...]:
    """Every namespace that some process is in, as far as this user may see, by kind and age of its first process."""
    found: dict[Namespace, NamespaceInfo] = {}
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        try:
            links = [_parse(str((proc / str(pid) / "ns" / kind.file).readlink())) for kind in KINDS.values()]
            command = (proc / str(pid) / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has gone meanwhile, or belongs to somebody else
        for space in links:
            seen = found.get(space)
            first = (seen.pid, seen.command) if seen else (pid, command)
            found[space] = NamespaceInfo(space, (seen.processes if seen else 0) + 1, *first)
    order = list(KINDS)
    return tuple(sorted(found.values(), key=lambda each: (order.index(each.namespace.kind), each.pid)))
