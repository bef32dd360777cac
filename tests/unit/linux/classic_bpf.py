"""A machine that runs classic BPF as the kernel does (seccomp(2)), written from its documentation only."""

from __future__ import annotations

import struct

KILL_PROCESS, ALLOW, ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7


def run(code: bytes, number: int, *arguments: int, architecture: int = X86_64) -> int:
    """What the filter answers to one system call."""
    data = struct.pack("<IIQ6Q", number, architecture, 0x7F00_0000_0000, *arguments, *(0,) * (6 - len(arguments)))
    program = list(struct.iter_unpack("<HBBI", code))
    at = a = steps = 0
    while True:
        op, jt, jf, k = program[at]
        at, steps = at + 1, steps + 1
        assert steps <= len(program), "classic BPF only jumps forward"
        match op:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (a,) = struct.unpack_from("<I", data, k)
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                a &= k
            case 0x05:  # BPF_JMP | BPF_JA
                at += k
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += jt if a == k else jf
            case 0x25:  # BPF_JMP | BPF_JGT | BPF_K
                at += jt if a > k else jf
            case 0x35:  # BPF_JMP | BPF_JGE | BPF_K
                at += jt if a >= k else jf
            case 0x06:  # BPF_RET | BPF_K
                return k
            case _:
                raise AssertionError(f"instruction {op:#x} at {at - 1}")


def errno_of(answer: int) -> int | None:
    """The errno of an ERRNO answer, 0 for ALLOW, None for any other."""
    if answer == ALLOW:
        return 0
    return answer & 0xFFFF if answer & 0xFFFF0000 == ERRNO else None
