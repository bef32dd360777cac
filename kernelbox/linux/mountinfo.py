"""The kernel's list of mounts: /proc/PID/mountinfo (proc_pid_mountinfo(5)).

Every mount has an id and the id of the mount it sits on, so the list is a tree; "propagation" says whether mounts made
below appear in other namespaces too. A path in it has its spaces written as `\\040`.

    >>> from kernelbox.linux import mountinfo
    >>> [m.target for m in mountinfo.read() if m.fstype == "proc"]
    ['/proc']
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MountInfo", "parse", "read"]

_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountInfo:
    """One mount as the kernel sees it: `root` of the file system `device` appears at `target`."""

    id: int
    parent: int
    device: tuple[int, int]
    root: str
    target: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]


def read(pid: int | str = "self", proc: Path = Path("/proc")) -> tuple[MountInfo, ...]:
    """The mounts of the namespace that process `pid` is in, in the kernel's order. Raises OSError where it is gone."""
    return parse((proc / str(pid) / "mountinfo").read_bytes())


def parse(text: bytes) -> tuple[MountInfo, ...]:
    """The lines of a mountinfo file; raises ValueError on a line that is not one."""
    return tuple(_line(line) for line in text.split(b"\n") if line)


def _line(line: bytes) -> MountInfo:
    # Optional fields (propagation) vary in number and end at a lone "-".
    front, separator, back = line.partition(b" - ")
    fields, tail = front.split(b" "), back.split(b" ")
    if not separator or len(fields) < 6 or len(tail) < 3:
        raise ValueError(f"not a line of mountinfo: {line!r}")
    major, minor = fields[2].split(b":")
    return MountInfo(
        id=int(fields[0]),
        parent=int(fields[1]),
        device=(int(major), int(minor)),
        root=_unescape(fields[3]),
        target=_unescape(fields[4]),
        options=tuple(fields[5].decode().split(",")),
        propagation=tuple(field.decode() for field in fields[6:]),
        fstype=tail[0].decode(),
        source=_unescape(tail[1]),
        super_options=tuple(tail[2].decode("utf-8", "surrogateescape").split(",")),
    )


def _unescape(field: bytes) -> str:
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), field).decode("utf-8", "surrogateescape")
