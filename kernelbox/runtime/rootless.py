"""The ids of an ordinary user's monitor: its own as root's, and, where it may, those that /etc/subuid gives it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from kernelbox.errors import KernelError, MonitorError, NotSupported
from kernelbox.linux import idmap
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store.running import read_running

__all__ = ["can_map_many", "id_counts", "map_ids", "may_write", "namespace_of_kept"]

_NS_GET_PARENT = 0xB702  # <linux/nsfs.h>


def _user() -> str:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user without an entry, as in some container platforms
        return str(uid)


def can_map_many() -> bool:
    """Whether containers have more than one id: newuidmap and newgidmap, and ranges for this user."""
    found = shutil.which("newuidmap") and shutil.which("newgidmap")
    user = _user()
    return bool(found and idmap.subordinate(user) and idmap.subordinate(user, Path("/etc/subgid")))


def may_write(folder: str) -> bool:
    """Whether an ordinary user's containers may make something in this folder of the machine."""
    try:
        owner = os.stat(folder).st_uid
    except OSError:  # it is made with what is to be in it
        return True
    ids = idmap.subordinate(_user()) if can_map_many() else ()
    own = owner == os.getuid() or any(0 <= owner - each.outside < each.count for each in ids)
    return own or os.access(folder, os.W_OK)


def id_counts() -> tuple[int, int]:
    """How many ids of users and of groups an ordinary user's containers have."""
    if not can_map_many():
        return 1, 1
    user = _user()
    groups = idmap.subordinate(user, Path("/etc/subgid"))
    return 1 + sum(each.count for each in idmap.subordinate(user)), 1 + sum(each.count for each in groups)


def namespace_of_kept(containers: Path) -> Descriptor | None:
    """The user namespace of a monitor that was killed, where a container that it had started lives on: the next one
    needs the rights that it has over its containers. None where none lives."""
    for running in filter(None, map(read_running, sorted(containers.glob("*")))):
        if running.alive():
            with contextlib.suppress(OSError):  # it has just ended, or is not below ours
                return _below_own(Descriptor(os.open(f"/proc/{running.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)))
    return None


def _below_own(space: Descriptor) -> Descriptor:
    """A container may have made another one for itself: the monitor's is the one whose parent is our own. Raises
    OSError where there is none such."""
    own = os.stat("/proc/self/ns/user")
    while True:
        with space, Descriptor(fcntl.ioctl(space.fileno(), _NS_GET_PARENT)) as parent:
            if os.path.samestat(os.fstat(parent.fileno()), own):
                return Descriptor(space.take())
            above = parent.take()
        space = Descriptor(above)


def map_ids(monitor: socket.socket) -> None:
    """The monitor says its pid once it has a user namespace, and waits for its ids. Raises NotSupported, KernelError,
    MonitorError."""
    told = monitor.recv(4)
    if len(told) < 4:
        raise NotSupported(
            "this machine does not let an ordinary user make a user namespace",
            hint="kernelbox doctor says what would mend it",
        )
    _write_maps(int.from_bytes(told, sys.byteorder))
    monitor.send(b"x")


def _write_maps(pid: int) -> None:
    """Maps ids for the user namespace of `pid`: 0 is this user, 1 and on are subordinate ids where there are some."""
    if can_map_many():
        user = _user()
        _run("newuidmap", pid, os.getuid(), idmap.subordinate(user))
        _run("newgidmap", pid, os.getgid(), idmap.subordinate(user, Path("/etc/subgid")))
        return
    process = Path("/proc", str(pid))
    try:
        (process / "uid_map").write_text(f"0 {os.getuid()} 1")
        (process / "setgroups").write_text("deny")  # user_namespaces(7): or the next line is refused
        (process / "gid_map").write_text(f"0 {os.getgid()} 1")
    except OSError as error:
        raise KernelError(error.errno or 0, "map ids of the user namespace of", str(pid)) from error


def _run(program: str, pid: int, own: int, ranges: tuple[idmap.IdRange, ...]) -> None:
    triples = [0, own, 1]
    for each in ranges:
        triples += [each.inside, each.outside, each.count]
    try:
        done = subprocess.run([program, str(pid), *map(str, triples)], capture_output=True, text=True)
    except OSError as error:
        raise KernelError(error.errno or 0, "run", program) from error
    if done.returncode:
        raise MonitorError(f"{program} refused: {done.stderr.strip()}", hint="see /etc/subuid and /etc/subgid")
