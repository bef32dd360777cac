"""A machine that runs the few eBPF instructions which device filters are made of
(Documentation/bpf/standardization)."""

from __future__ import annotations

import struct

READ, WRITE, MKNOD = 2, 4, 1
BLOCK, CHAR = 1, 2


def run(program: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """r0 at the exit, for a `struct bpf_cgroup_dev_ctx`."""
    context = struct.pack("<III", access << 16 | kind, major, minor)
    registers = [0] * 11
    instructions = list(struct.iter_unpack("<BBhi", program))
    at = 0
    while True:
        code, nibbles, offset, imm = instructions[at]
        to, source = nibbles & 15, nibbles >> 4
        at += 1
        match code:
            case 0x61:  # LDX W
                assert source == 1, "only the context may be read"
                (registers[to],) = struct.unpack_from("<I", context, offset)
            case 0xB7:  # MOV K
                registers[to] = imm
            case 0xBF:  # MOV X
                registers[to] = registers[source]
            case 0x77:  # RSH K
                registers[to] >>= imm
            case 0x57:  # AND K
                registers[to] &= imm
            case 0x55:  # JNE K
                at += offset if registers[to] != imm else 0
            case 0x15:  # JEQ K
                at += offset if registers[to] == imm else 0
            case 0x95:  # EXIT
                return registers[0]
            case _:
                raise AssertionError(f"instruction {code:#x} at {at - 1}")
