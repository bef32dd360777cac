"""Messages to a monitor, well-formed and not, straight from the structures of plan.h."""

from __future__ import annotations

import array
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from kernelbox.native import ffi, lib
from kernelbox.runtime.encoder import MAGIC

NO_SLOTS = (lib.KB_NO_SLOT,) * 4

ALIVE_S = 10.0
"""Seconds without an answer after which a monitor hangs; none of the requests here takes one."""


@dataclass(frozen=True)
class Operation:
    code: int
    slots: tuple[int, ...] = NO_SLOTS
    text: tuple[int, ...] = (0, 0, 0)
    numbers: tuple[int, ...] = (0, 0, 0, 0)
    flags: int = 0

    def encode(self) -> bytes:
        slots, text, numbers = ((*given, 0, 0, 0, 0) for given in (self.slots, self.text, self.numbers))
        fields = {"code": self.code, "flags": self.flags, "slot": slots[:4], "text": text[:3], "num": numbers[:4]}
        return bytes(ffi.buffer(ffi.new("struct kb_op *", fields)))


@dataclass(frozen=True)
class Frame:
    """A request. `head` overrides what would be right in struct kb_request; `big`: the body goes as a sealed file."""

    kind: int
    before: Sequence[Operation] = ()
    inside: Sequence[Operation] = ()
    after: Sequence[Operation] = ()
    text: bytes = b"\0"
    head: dict[str, int] = field(default_factory=dict)

    def body(self) -> bytes:
        return b"".join(each.encode() for each in (*self.before, *self.inside, *self.after)) + self.text

    def encode_head(self) -> bytes:
        right = {
            "magic": MAGIC,
            "type": self.kind,
            "before": len(self.before),
            "inside": len(self.inside),
            "after": len(self.after),
            "reveal": lib.KB_NO_SLOT,
            "fail_op": -1,
            "text_size": len(self.text),
            "last_text": 0,
        }
        return bytes(ffi.buffer(ffi.new("struct kb_request *", right | self.head)))

    def encode(self) -> bytes:
        return self.encode_head() + self.body()

    def but(self, **head: int) -> Frame:
        return replace(self, head=self.head | head)


def launch(program: str = "/bin/true", **head: int) -> Frame:
    """A process in the monitor's own namespaces that runs a program: the shortest plan there is."""
    text = b"\0" + program.encode() + b"\0"
    run = Operation(lib.KB_OP_EXEC, text=(1, 0, 1), numbers=(1, 0, 1))
    return Frame(lib.KB_LAUNCH, [Operation(lib.KB_OP_CLONE)], [run], text=text, head=head)


@dataclass(frozen=True)
class Reply:
    kind: int
    last: bool
    error: int
    op: int
    status: int
    signal: int

    @classmethod
    def decode(cls, message: bytes) -> Reply:
        answer = ffi.from_buffer("struct kb_answer *", message)
        size = ffi.sizeof("struct kb_answer") + answer.operations * ffi.sizeof("struct kb_traced") + answer.record_size
        assert len(message) == size
        return cls(answer.type, bool(answer.last), answer.error, answer.op, answer.status, answer.signal)


def send(connection: socket.socket, message: bytes, descriptors: Sequence[int] = ()) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    connection.sendmsg([message], rights)


def replies(connection: socket.socket) -> list[Reply]:
    """What the monitor says until it has said the last of it, or closed the connection."""
    found: list[Reply] = []
    while not found or not found[-1].last:
        try:
            message = connection.recv(1 << 20)
        except ConnectionResetError:
            return found
        if not message:
            return found
        found.append(Reply.decode(message))
    return found
