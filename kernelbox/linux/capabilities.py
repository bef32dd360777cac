"""Capabilities: the power of root, cut into some forty pieces (capabilities(7)).

A thread has five sets of them: `effective` counts for permission checks, `permitted` is what may become effective,
`inheritable` and `ambient` pass through execve(2), and nothing outside `bounding` can ever be gained again. A
container's root has few of them, and only over its own user namespace.

    >>> from kernelbox.linux import capabilities
    >>> capabilities.names(capabilities.parse(["chown", "CAP_KILL"]))
    ('CAP_CHOWN', 'CAP_KILL')
    >>> with capabilities.without("DAC_OVERRIDE"):                      # root obeys file modes in here
    ...     open("/etc/shadow")
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import InvalidOption
from kernelbox.native import check, ffi, lib

__all__ = ["ALL", "DEFAULT", "Sets", "bounding", "current", "names", "of", "parse", "without"]

_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_NUMBERS: dict[str, int] = {f"CAP_{name}": getattr(lib, f"CAP_{name}") for name in _NAMES.split()}

ALL = tuple(_NUMBERS)
"""The names of all capabilities that Linux has had so far."""

_ELEVEN = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
DEFAULT = tuple(f"CAP_{name}" for name in _ELEVEN.split())
"""What a container has where nothing is asked: podman's eleven (Docker adds AUDIT_WRITE, MKNOD and NET_RAW)."""


def parse(wanted: Iterable[str]) -> int:
    """The set as a bit mask; names with or without "CAP_", in any case, or "ALL". Raises InvalidOption for others."""
    mask = 0
    for name in wanted:
        full = name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}"
        if full == "CAP_ALL":
            mask |= (1 << len(ALL)) - 1
        elif full in _NUMBERS:
            mask |= 1 << _NUMBERS[full]
        else:
            near = difflib.get_close_matches(full, ALL, 1)
            raise InvalidOption(f"unknown capability {name!r}", hint=f"did you mean {near[0]}?" if near else None)
    return mask


def names(mask: int) -> tuple[str, ...]:
    """The names of the bits of `mask` in the kernel's order; a bit that has no name here gives its number
    ("CAP_63")."""
    by_number = {number: name for name, number in _NUMBERS.items()}
    return tuple(by_number.get(bit, f"CAP_{bit}") for bit in range(mask.bit_length()) if mask >> bit & 1)


@dataclass(frozen=True, slots=True)
class Sets:
    """The five sets of a thread, as bit masks."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int


def of(pid: int | str, proc: Path = Path("/proc")) -> Sets:
    """The sets of another process (its main thread). Raises OSError where it is gone."""
    fields = dict(
        line.split(":\t", 1) for line in (proc / str(pid) / "status").read_text().splitlines() if ":\t" in line
    )
    return Sets(*(int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")))


def current() -> Sets:
    """The sets of this thread."""
    return of("thread-self")


def bounding() -> int:
    """The bounding set of this thread: what a program started from here can have at most."""
    return current().bounding


@contextmanager
def without(*dropped: str) -> Iterator[None]:
    """This thread does without these capabilities inside the block, by its effective set; they stay permitted."""
    before = _get()
    _set((before[0] & ~parse(dropped), before[1], before[2]))
    try:
        yield
    finally:
        _set(before)


def _get() -> tuple[int, int, int]:
    sets = ffi.new("uint64_t[3]")
    check(lib.kb_capget(0, sets), "read capabilities")
    return sets[0], sets[1], sets[2]


def _set(sets: tuple[int, int, int]) -> None:
    check(lib.kb_capset(ffi.new("uint64_t[3]", sets)), "set capabilities")
