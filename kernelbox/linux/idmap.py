"""User and group ids in a user namespace: which number inside is which outside (user_namespaces(7)).

A map is a list of ranges "inside outside count". Who is root (0) inside may be 524288 outside: nobody, for the rest of
the machine. An id without a range shows as 65534. A mount can be given a map too (`mounts.set_attributes`), so that
files which belong to 0 on disk belong to the container's root while it looks at them.

    >>> from kernelbox.linux import idmap
    >>> ranges = [idmap.IdRange(inside=0, outside=524288, count=65536)]
    >>> idmap.text(ranges)
    '0 524288 65536\\n'
    >>> idmap.translate(ranges, 1000)
    525288
    >>> with idmap.userns(ranges, ranges) as namespace: ...            # as root; a descriptor of it
"""

from __future__ import annotations

import errno
import itertools
import os
import pwd
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import InvalidOption, KernelError, NotSupported
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import cstring, ffi, lib

__all__ = ["IdRange", "parse", "subordinate", "text", "translate", "userns"]

_MOST_RANGES = 340
"""Of one map (user_namespaces(7), since Linux 4.15)."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """`count` ids from `inside` on are, outside, the ids from `outside` on. Raises InvalidOption for impossible
    ones."""

    inside: int
    outside: int
    count: int

    def __post_init__(self) -> None:
        if (
            min(self.inside, self.outside) < 0
            or self.count < 1
            or max(self.inside, self.outside) + self.count > 1 << 32
        ):
            raise InvalidOption(f"ids {self.inside}:{self.outside}:{self.count} are not a range of 32-bit ids")


def text(ranges: Sequence[IdRange]) -> str:
    """What to write into /proc/PID/uid_map. Raises InvalidOption for ranges that overlap, and for too many."""
    if len(ranges) > _MOST_RANGES:
        raise InvalidOption(f"a map has at most {_MOST_RANGES} ranges, not {len(ranges)}")
    for side in ("inside", "outside"):
        ordered = sorted(ranges, key=lambda each: int(getattr(each, side)))
        for a, b in itertools.pairwise(ordered):
            if getattr(a, side) + a.count > getattr(b, side):
                raise InvalidOption(f"id ranges overlap {side}: {a} and {b}")
    return "".join(f"{each.inside} {each.outside} {each.count}\n" for each in ranges)


def parse(text: str) -> tuple[IdRange, ...]:
    """The ranges of a /proc/PID/uid_map file."""
    return tuple(IdRange(*map(int, line.split())) for line in text.splitlines())


def translate(ranges: Sequence[IdRange], inside: int) -> int | None:
    """What the id `inside` is outside; None where the map does not have it."""
    for each in ranges:
        if each.inside <= inside < each.inside + each.count:
            return each.outside + inside - each.inside
    return None


def subordinate(user: str | int, file: Path = Path("/etc/subuid"), first: int = 1) -> tuple[IdRange, ...]:
    """The ids outside that `user` (a name or a number) may map, from /etc/subuid or /etc/subgid (subuid(5)), to the ids
    inside from `first` on. Empty where the file gives none, or is not there."""
    if not file.exists():
        return ()
    ranges = []
    for line in file.read_text().splitlines():
        owner, _, rest = line.partition(":")
        start, _, count = rest.partition(":")
        if owner in _names(user) and start.isdigit() and count.isdigit() and int(count):
            ranges.append(IdRange(first, int(start), int(count)))
            first += int(count)
    return tuple(ranges)


def _names(user: str | int) -> set[str]:
    names = {str(user)}
    try:
        entry = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
    except KeyError:
        return names
    return names | {entry.pw_name, str(entry.pw_uid)}


def userns(uid_map: Sequence[IdRange], gid_map: Sequence[IdRange]) -> Descriptor:
    """A new user namespace with these maps, held by a descriptor; no process is in it.

    Who is not root may map their own id, and with the programs newuidmap and newgidmap what /etc/subuid gives them.
    Raises NotSupported where user namespaces are not allowed, KernelError otherwise."""
    uids, gids = text(uid_map), text(gid_map)
    fds = ffi.new("int[8]")
    result = lib.kb_make_namespaces(lib.CLONE_NEWUSER, cstring(uids), cstring(gids), fds)
    if result >= 0:
        return Descriptor(fds[0])
    if result == -errno.EPERM and os.geteuid() and any(each.count > 1 for each in (*uid_map, *gid_map)):
        return _by_helpers(uid_map, gid_map)
    if result in (-errno.EPERM, -errno.ENOSPC, -errno.EACCES):
        raise NotSupported(
            "this machine does not let this user make a user namespace with such ids",
            hint="sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_"
            "unprivileged_userns say whether it may",
        )
    raise KernelError(-result, "make a user namespace")


def _by_helpers(uid_map: Sequence[IdRange], gid_map: Sequence[IdRange]) -> Descriptor:
    """newuidmap and newgidmap are set-user-id programs that write the maps of a process which waits in its
    namespace."""
    import shutil
    import subprocess  # not at the top: few need it, and it takes 3 ms to import

    programs = [shutil.which(name) for name in ("newuidmap", "newgidmap", "unshare")]
    if not all(programs):
        raise NotSupported(
            "mapping more than one's own id needs newuidmap and newgidmap", hint="apt-get install uidmap"
        )
    # It says a word when its namespace is there, and ends when its input does.
    command = ["unshare", "--user", "sh", "-c", "echo; read -r _"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as waiting:
        assert waiting.stdout is not None
        if not waiting.stdout.readline():
            raise NotSupported("this machine does not let this user make user namespaces")
        for program, ranges in zip(programs, (uid_map, gid_map), strict=False):
            numbers = [str(n) for each in ranges for n in (each.inside, each.outside, each.count)]
            done = subprocess.run([str(program), str(waiting.pid), *numbers], capture_output=True, text=True)
            if done.returncode:
                raise NotSupported(f"could not map ids: {done.stderr.strip()}", hint="see /etc/subuid and /etc/subgid")
        return Descriptor(os.open(f"/proc/{waiting.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC))
