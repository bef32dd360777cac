"""Which device files a container has, and which it may use: two different things.

A device file is only a name for a number ("c 1:3" is /dev/null); whoever can make one reaches the device. So beside
giving few names, a control group says which numbers may be opened ("r", "w") or made ("m"). On v1 the `devices`
controller keeps a list of lines; on v2 a small eBPF program, attached to the group, is asked each time (also to a v2
tree without controllers).

    >>> from kernelbox.linux import devices
    >>> devices.v1_lines([devices.DENY_ALL, devices.parse_rule("c 1:3 rw")])
    ('c 1:3 rw',)
    >>> program = devices.filter_program(devices.DEFAULT_RULES)       # for `attach`, or for a launch plan
"""

from __future__ import annotations

import os
import re
import stat
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.native import check, ffi, lib

__all__ = [
    "DEFAULT_NODES",
    "DEFAULT_RULES",
    "DENY_ALL",
    "LINKS",
    "Node",
    "Rule",
    "attach",
    "filter_program",
    "node_of",
    "parse_rule",
    "v1_lines",
]

Kind = Literal["a", "b", "c"]
_MOST = (1 << 31) - 1
"""More than any device has (the kernel keeps 12 and 20 bits); an eBPF instruction compares with 31 bits and a sign."""


@dataclass(frozen=True, slots=True)
class Node:
    """A device file: `kind` "c" (character) or "b" (block), permissions as for chmod(2)."""

    path: str
    kind: Kind
    major: int
    minor: int
    mode: int = 0o666


@dataclass(frozen=True, slots=True)
class Rule:
    """Allow or deny `access` (some of "rwm") to devices; None stands for every number, kind "a" for both kinds.

    -1 becomes None, as runc has it. Raises InvalidOption for what no device can have."""

    allow: bool
    kind: Kind = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    def __post_init__(self) -> None:
        for name in ("major", "minor"):
            number = getattr(self, name)
            if number == -1:
                object.__setattr__(self, name, None)
            elif number is not None and not 0 <= number <= _MOST:
                raise InvalidOption(f"{number} is not a device number: they end at {_MOST}")

    def __str__(self) -> str:
        numbers = ":".join("*" if number is None else str(number) for number in (self.major, self.minor))
        return f"{self.kind} {numbers} {self.access}"


DEFAULT_NODES = (
    Node("/dev/null", "c", 1, 3),
    Node("/dev/zero", "c", 1, 5),
    Node("/dev/full", "c", 1, 7),
    Node("/dev/random", "c", 1, 8),
    Node("/dev/urandom", "c", 1, 9),
    Node("/dev/tty", "c", 5, 0),
)
"""The device files that every container has (OCI runtime-spec, "Default Devices")."""

LINKS = {
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
    "/dev/ptmx": "pts/ptmx",
}
"""Symbolic links beside them and where they point (OCI runtime-spec, "Dev symbolic links" and "/dev/ptmx")."""

DENY_ALL = Rule(allow=False)

DEFAULT_RULES = (
    DENY_ALL,
    *(Rule(True, node.kind, node.major, node.minor) for node in DEFAULT_NODES),
    Rule(True, "c", 5, 2),  # /dev/pts/ptmx
    Rule(True, "c", 136),  # /dev/pts/0 and so on
)
"""What a container may use where nothing is asked: the default files and its own terminals."""

_Devices = tuple[Kind, int | None, int | None]
_RULE = re.compile(r"([abc]) (?:([0-9]{1,10}|\*):([0-9]{1,10}|\*)) ([rwm]{1,3})")
_ACCESS = {"m": lib.BPF_DEVCG_ACC_MKNOD, "r": lib.BPF_DEVCG_ACC_READ, "w": lib.BPF_DEVCG_ACC_WRITE}
_KIND = {"b": lib.BPF_DEVCG_DEV_BLOCK, "c": lib.BPF_DEVCG_DEV_CHAR}
_EVERY = "rwm"


def parse_rule(text: str, *, allow: bool = True) -> Rule:
    """A rule as `docker run --device-cgroup-rule` takes it, such as "c 10:229 rwm"; raises InvalidOption."""
    if text.strip() == "a":
        return Rule(allow)
    found = _RULE.fullmatch(text.strip())
    if not found:
        raise InvalidOption(f"{text!r} is not a device rule", hint='write it as "c 10:229 rwm"')
    kind, major, minor, access = found.groups()
    return Rule(allow, cast(Kind, kind), _number(major), _number(minor), _sorted(access))


def _number(text: str) -> int | None:
    return None if text == "*" else int(text)


def _sorted(access: Iterable[str]) -> str:
    return "".join(sorted(set(access), key=_EVERY.index))


def node_of(source: Path | str, path: str | None = None) -> Node:
    """The node of a device file of this machine, to be made as `path` elsewhere; raises InvalidOption for other
    files."""
    about = Path(source).stat()
    kind: Kind = "b" if stat.S_ISBLK(about.st_mode) else "c"
    if kind == "c" and not stat.S_ISCHR(about.st_mode):
        raise InvalidOption(f"{source} is not a device file")
    numbers = os.major(about.st_rdev), os.minor(about.st_rdev)
    return Node(path or str(source), kind, *numbers, mode=stat.S_IMODE(about.st_mode))


def v1_lines(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Lines for devices.allow after "a" was written to devices.deny. Later rules win over earlier ones.

    Raises NotSupported for an exception within an allowed range, which v1 cannot hold."""
    allowed: dict[_Devices, set[str]] = {}
    for rule in rules:
        if rule.kind == "a" and set(rule.access) == set(_EVERY) and rule.major is rule.minor is None:
            allowed = {("a", None, None): set(_EVERY)} if rule.allow else {}
            continue
        kinds: tuple[Kind, ...] = ("b", "c") if rule.kind == "a" else (rule.kind,)
        for kind in kinds:
            key = (kind, rule.major, rule.minor)
            if rule.allow:
                allowed.setdefault(key, set()).update(rule.access)
            else:
                _deny(allowed, key, rule)
    lines = (Rule(True, *key, access=_sorted(access)) for key, access in allowed.items() if access)
    return tuple("a" if line.kind == "a" else str(line) for line in lines)


def _deny(allowed: dict[_Devices, set[str]], key: _Devices, rule: Rule) -> None:
    for other, access in allowed.items():
        if _covers(key, other):
            access.difference_update(rule.access)
        elif _covers(other, key) and access & set(rule.access):
            raise NotSupported(f"the v1 devices controller cannot deny {rule} within an allowed range")


def _covers(wide: _Devices, narrow: _Devices) -> bool:
    kinds = wide[0] in ("a", narrow[0])
    return kinds and all(a is None or a == b for a, b in zip(wide[1:], narrow[1:], strict=True))


def filter_program(rules: Sequence[Rule]) -> bytes:
    """The rules as an eBPF program (`struct bpf_insn`s) of type BPF_PROG_TYPE_CGROUP_DEVICE; later rules win.

    It is given `struct bpf_cgroup_dev_ctx` (access and kind, major, minor) and answers 1 to allow, 0 to deny."""
    mem, mov = lib.BPF_LDX | lib.BPF_MEM | lib.BPF_W, lib.BPF_ALU64 | lib.BPF_MOV
    code = [
        _insn(mem, 2, 1, 0),  # r2 = kind in the low half, access in the high half
        _insn(mov | lib.BPF_X, 3, 2),
        _insn(lib.BPF_ALU64 | lib.BPF_RSH | lib.BPF_K, 3, imm=16),
        _insn(lib.BPF_ALU64 | lib.BPF_AND | lib.BPF_K, 2, imm=0xFFFF),
        _insn(mem, 4, 1, 4),  # r4 = major
        _insn(mem, 5, 1, 8),  # r5 = minor
    ]
    for rule in reversed(_merged(rules)):
        code += _rule_code(rule)
        if rule.kind == "a" and set(rule.access) == set(_EVERY) and rule.major is rule.minor is None:
            break  # what follows could not be reached, and the kernel refuses such programs
    else:
        code += _answer(False)
    return b"".join(code)


def _merged(rules: Sequence[Rule]) -> list[Rule]:
    """Neighbours for the same devices become one, so that "r" and "w" together allow opening for both."""
    merged: list[Rule] = []
    for rule in rules:
        last = merged[-1] if merged else None
        if last and (last.allow, last.kind, last.major, last.minor) == (rule.allow, rule.kind, rule.major, rule.minor):
            merged[-1] = Rule(rule.allow, rule.kind, rule.major, rule.minor, _sorted(last.access + rule.access))
        else:
            merged.append(rule)
    return merged


def _rule_code(rule: Rule) -> list[bytes]:
    """Tests which jump behind the rule's answer where the rule does not apply."""
    tests: list[tuple[int, int, int]] = []  # (jump operation, register, number)
    if rule.kind != "a":
        tests.append((lib.BPF_JNE, 2, _KIND[rule.kind]))
    if rule.major is not None:
        tests.append((lib.BPF_JNE, 4, rule.major))
    if rule.minor is not None:
        tests.append((lib.BPF_JNE, 5, rule.minor))
    access = sum(_ACCESS[letter] for letter in set(rule.access))
    mask: list[bytes] = []
    if access != sum(_ACCESS.values()):
        # "allow" applies where nothing else is asked for, "deny" where any of it is.
        wanted = sum(_ACCESS.values()) & ~access if rule.allow else access
        mask = [
            _insn(lib.BPF_ALU64 | lib.BPF_MOV | lib.BPF_X, 1, 3),
            _insn(lib.BPF_ALU64 | lib.BPF_AND | lib.BPF_K, 1, imm=wanted),
            _insn(lib.BPF_JMP | (lib.BPF_JNE if rule.allow else lib.BPF_JEQ) | lib.BPF_K, 1, offset=2, imm=0),
        ]
    length = len(tests) + len(mask) + 2
    jumps = [
        _insn(lib.BPF_JMP | operation | lib.BPF_K, register, offset=length - index - 1, imm=number)
        for index, (operation, register, number) in enumerate(tests)
    ]
    return [*jumps, *mask, *_answer(rule.allow)]


def _answer(allow: bool) -> list[bytes]:
    return [_insn(lib.BPF_ALU64 | lib.BPF_MOV | lib.BPF_K, 0, imm=int(allow)), _insn(lib.BPF_JMP | lib.BPF_EXIT, 0)]


def _insn(code: int, destination: int, source: int = 0, offset: int = 0, imm: int = 0) -> bytes:
    """One `struct bpf_insn`; the two registers are bit fields, whose order follows the machine's byte order."""
    low, high = (destination, source) if sys.byteorder == "little" else (source, destination)
    return struct.pack("=BBhi", code, low | high << 4, offset, imm)


def attach(cgroup: Path, rules: Sequence[Rule]) -> None:
    """Have the kernel ask these rules for every process in the v2 group `cgroup`, as long as the group lives.

    Raises KernelError where the kernel refuses (bpf(2) needs CAP_SYS_ADMIN or CAP_BPF)."""
    program = filter_program(rules)
    fd = check(
        lib.kb_bpf_load_device_filter(ffi.from_buffer("char[]", program), len(program) // 8), "load a device filter"
    )
    try:
        group = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            check(lib.kb_bpf_attach(group, fd), "attach a device filter to", cgroup)
        finally:
            os.close(group)
    finally:
        os.close(fd)
