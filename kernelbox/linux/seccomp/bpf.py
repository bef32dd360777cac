"""Classic BPF: the few instructions that filters are made of, and jumps between them.

`struct sock_filter { code, jt, jf, k }`: one accumulator A; "jt" and "jf" are how many instructions to skip when a test
holds or not, forward only, at most 255 (Documentation/networking/filter.rst, seccomp(2)).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from kernelbox.errors import InvalidOption
from kernelbox.native import lib

__all__ = ["Insn", "argument", "assemble", "jump", "listing", "load", "number_and", "ret", "skip"]

NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`."""

_LOAD = lib.BPF_LD | lib.BPF_W | lib.BPF_ABS
_RET = lib.BPF_RET | lib.BPF_K
_AND = lib.BPF_ALU | lib.BPF_AND | lib.BPF_K
_SKIP = lib.BPF_JMP | lib.BPF_JA
_JUMPS = {"==": lib.BPF_JEQ, ">": lib.BPF_JGT, ">=": lib.BPF_JGE}


@dataclass(frozen=True, slots=True)
class Insn:
    """One instruction; `k` is an unsigned 32-bit number."""

    code: int
    jt: int
    jf: int
    k: int


def load(offset: int) -> Insn:
    """A = the 32 bits at `offset` of the call's data."""
    return Insn(_LOAD, 0, 0, offset)


def argument(index: int, *, high: bool = False) -> Insn:
    """A = one half of an argument; which half comes first depends on the machine."""
    second = high == (sys.byteorder == "little")
    return load(ARGUMENTS + 8 * index + (4 if second else 0))


def number_and(mask: int) -> Insn:
    """A = A & mask"""
    return Insn(_AND, 0, 0, mask)


def jump(test: str, k: int, then: int, otherwise: int) -> Insn:
    """Compare A with `k` by "==", ">" or ">=" and skip `then` or `otherwise` instructions."""
    if max(then, otherwise) > 255:
        raise InvalidOption(
            "seccomp: a rule is too long for a filter", hint="use fewer argument tests for one system call"
        )
    return Insn(lib.BPF_JMP | lib.BPF_K | _JUMPS[test], then, otherwise, k)


def skip(count: int) -> Insn:
    """Skip `count` instructions, which may be many."""
    return Insn(_SKIP, 0, 0, count)


def ret(value: int) -> Insn:
    """Answer with `value` (SECCOMP_RET_*)."""
    return Insn(_RET, 0, 0, value)


def assemble(code: Sequence[Insn]) -> bytes:
    """The bytes that the kernel takes. Raises InvalidOption for a filter above the kernel's limit of instructions."""
    if len(code) > lib.BPF_MAXINSNS:
        raise InvalidOption(f"seccomp: the filter has {len(code)} instructions, the kernel takes {lib.BPF_MAXINSNS}")
    return b"".join(struct.pack("=HBBI", insn.code, insn.jt, insn.jf, insn.k) for insn in code)


def listing(code: bytes) -> str:
    """The filter for people to read, one instruction a line."""
    lines = []
    for at, (op, jt, jf, k) in enumerate(struct.iter_unpack("=HBBI", code)):
        test = next((sign for sign, bits in _JUMPS.items() if op == lib.BPF_JMP | lib.BPF_K | bits), None)
        if test:
            text = f"if A {test} {k:#x} goto {at + 1 + jt} else {at + 1 + jf}"
        elif op == _SKIP:
            text = f"goto {at + 1 + k}"
        else:
            text = {_LOAD: f"A = data[{k}]", _AND: f"A &= {k:#x}", _RET: f"return {k:#x}"}.get(op, f"{op:#x} {k:#x}")
        lines.append(f"{at:4} {text}\n")
    return "".join(lines)
