"""From a profile to a filter: a search tree over the numbers of system calls, whose leaves are answers or tests.

Neighbouring numbers with the same answer are one range, so a list of 300 calls becomes a tree of some 100 leaves: the
kernel evaluates a filter for every system call number when it is loaded, and a list of comparisons costs it five times
as much.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernelbox.errors import NotSupported
from kernelbox.linux.seccomp import bpf
from kernelbox.linux.seccomp.bpf import Insn
from kernelbox.linux.seccomp.profile import Compare, Profile, verdict
from kernelbox.native import check, ffi, lib

__all__ = ["compile", "load"]

_X32 = 0x4000_0000  # x86-64 calls of the x32 ABI have this bit (asm/unistd.h)
_NO_CALL = 0xFFFF_FFFF  # the number that a tracer writes to have a call skipped (ptrace(2))


@functools.lru_cache(maxsize=64)
def compile(profile: Profile) -> bytes:  # noqa: A001 - the word for it, as in re.compile
    """The filter as `struct sock_filter`s of the native architecture.

    Raises NotSupported where libseccomp, which knows the numbers of system calls, is not installed."""
    default = verdict(profile.default_action, profile.default_errno)
    table = _numbers(tuple(sorted({name for rule in profile.rules for name in rule.names})))
    branches = _branches(profile, table.numbers, default)
    tree = _tree(_ranges(branches, default))
    return bpf.assemble([*_preamble(table.architecture), *tree])


def load(code: bytes) -> None:
    """Put this thread and all its children to come under the filter `code`, for good; also sets no_new_privs.

    For a lab's child process: nothing takes a filter off again. Raises KernelError where the kernel refuses it."""
    check(lib.kb_prctl(lib.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs")
    filter_ = ffi.new("char[]", code)
    program = ffi.new("char[]", struct.pack("@HP", len(code) // 8, int(ffi.cast("uintptr_t", filter_))))  # sock_fprog
    address = int(ffi.cast("uintptr_t", program))
    check(lib.kb_prctl(lib.PR_SET_SECCOMP, lib.SECCOMP_MODE_FILTER, address, 0, 0), "load a system call filter")


def _preamble(architecture: int) -> list[Insn]:
    code = [
        bpf.load(bpf.ARCHITECTURE),
        bpf.jump("==", architecture, 1, 0),
        bpf.ret(lib.SECCOMP_RET_KILL_PROCESS),
        bpf.load(bpf.NUMBER),
    ]
    if os.uname().machine == "x86_64":
        code += [
            bpf.jump(">=", _X32, 0, 3),
            bpf.jump("==", _NO_CALL, 1, 0),
            bpf.ret(lib.SECCOMP_RET_KILL_PROCESS),
            bpf.ret(lib.SECCOMP_RET_ALLOW),
        ]
    return code


# -- what to do for each number --------------------------------------------------------------------------------------

Branch = tuple[tuple[Compare, ...], int]
"""Tests, and the answer when all of them hold."""


def _branches(profile: Profile, numbers: dict[str, int], default: int) -> dict[int, tuple[Branch, ...]]:
    """For each number the branches to try in turn; the last one has no tests."""
    tested: dict[int, list[Branch]] = {}
    plain: dict[int, int] = {}
    for rule in profile.rules:
        answer = verdict(rule.action, rule.errno)
        for number in (numbers[name] for name in rule.names if name in numbers):
            if rule.args:
                tested.setdefault(number, []).append((rule.args, answer))
            else:
                plain.setdefault(number, answer)
    return {n: (*tested.get(n, ()), ((), plain.get(n, default))) for n in {*tested, *plain}}


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    branches: tuple[Branch, ...]


def _ranges(branches: dict[int, tuple[Branch, ...]], default: int) -> list[_Range]:
    """All numbers from 0 to infinity, cut where what to do changes."""
    unknown: tuple[Branch, ...] = (((), default),)
    ranges = [_Range(0, branches.get(0, unknown))]
    for number in range(1, max(branches, default=0) + 2):
        here = branches.get(number, unknown)
        if here != ranges[-1].branches:
            ranges.append(_Range(number, here))
    return ranges


# -- instructions ----------------------------------------------------------------------------------------------------


def _tree(ranges: Sequence[_Range]) -> list[Insn]:
    if len(ranges) == 1:
        return _leaf(ranges[0].branches)
    middle = len(ranges) // 2
    left, right = _tree(ranges[:middle]), _tree(ranges[middle:])
    if len(left) <= 255:
        return [bpf.jump(">=", ranges[middle].first, len(left), 0), *left, *right]
    return [bpf.jump(">=", ranges[middle].first, 0, 1), bpf.skip(len(left)), *left, *right]


def _leaf(branches: Iterable[Branch]) -> list[Insn]:
    code: list[Insn] = []
    for tests, answer in branches:
        body = [bpf.ret(answer)]
        for test in reversed(tests):
            body = [*_test(test, len(body)), *body]
        code += body
    return code


def _test(test: Compare, rest: int) -> list[Insn]:
    """Falls through when the test holds, otherwise skips the `rest` instructions behind it too."""
    value = test.value_two if test.operation == "SCMP_CMP_MASKED_EQ" else test.value
    high, low = value >> 32, value & 0xFFFF_FFFF
    load_high, load_low = bpf.argument(test.index, high=True), bpf.argument(test.index)
    match test.operation:
        case "SCMP_CMP_MASKED_EQ":
            return _masked(test, rest)
        case "SCMP_CMP_EQ":
            return [load_high, bpf.jump("==", high, 0, rest + 2), load_low, bpf.jump("==", low, 0, rest)]
        case "SCMP_CMP_NE":
            return [load_high, bpf.jump("==", high, 0, 2), load_low, bpf.jump("==", low, rest, 0)]
        case "SCMP_CMP_GT" | "SCMP_CMP_GE":
            sign = ">" if test.operation == "SCMP_CMP_GT" else ">="
            above, equal = bpf.jump(">", high, 3, 0), bpf.jump("==", high, 0, rest + 2)
            return [load_high, above, equal, load_low, bpf.jump(sign, low, 0, rest)]
        case _:  # LT and LE: the same with the outcomes exchanged
            sign = ">=" if test.operation == "SCMP_CMP_LT" else ">"
            above, equal = bpf.jump(">", high, rest + 3, 0), bpf.jump("==", high, 0, 2)
            return [load_high, above, equal, load_low, bpf.jump(sign, low, rest, 0)]


def _masked(test: Compare, rest: int) -> list[Insn]:
    code: list[Insn] = []
    # A half whose mask is 0 is not looked at, unless bits are wanted there, which then never match.
    for high in (False, True):
        shift = 32 if high else 0
        mask, want = test.value >> shift & 0xFFFF_FFFF, test.value_two >> shift & 0xFFFF_FFFF
        if mask or want:
            keep = [] if mask == 0xFFFF_FFFF else [bpf.number_and(mask)]
            code = [bpf.argument(test.index, high=high), *keep, bpf.jump("==", want, 0, rest + len(code)), *code]
    return code


# -- numbers of system calls -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    architecture: int
    numbers: dict[str, int]


@functools.lru_cache(maxsize=8)
def _numbers(names: tuple[str, ...]) -> _Table:
    """The native numbers of those `names` that libseccomp knows here, and the native AUDIT_ARCH_*."""
    keep = [ffi.new("char[]", name.encode()) for name in names]
    numbers = ffi.new("int[]", len(names) + 1)
    result = lib.kb_syscall_numbers(ffi.new("char *[]", keep), len(names), numbers)
    if result == -errno.ENOENT:
        raise NotSupported(
            "system call filters need libseccomp, which is not installed",
            hint="apt-get install libseccomp2 (Debian, Ubuntu), dnf install libseccomp (Fedora)",
        )
    check(result, "look up the numbers of system calls")
    *found, architecture = ffi.unpack(numbers, len(names) + 1)
    known = {name: number for name, number in zip(names, found, strict=True) if number >= 0}
    return _Table(architecture & 0xFFFF_FFFF, known)
