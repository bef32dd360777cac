"""Requests by chance, plausible and mutilated: whatever comes, the monitor answers or closes, and serves the next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from unit.native.conftest import ConfinedMonitor
from unit.native.frames import Frame, Operation, launch

from kernelbox.native import ffi, lib

pytestmark = [pytest.mark.kernel, pytest.mark.outside]

BOUNDED = settings(
    max_examples=250, deadline=None, derandomize=True, database=None,
    phases=[Phase.generate],  # a monitor that has died does so only once
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip

WORDS = ["/", "/tmp/a", "/tmp/a/b", "/proc", "/bin/true", "tmpfs", "overlay", "proc", "mode", "700", "lowerdir+", "..",
         "self/ns/net", "populated", "/dev/null", "source", "@PID@ ", ""]  # fmt: skip
TEXT = b"\0" + b"".join(word.encode() + b"\0" for word in WORDS)
OFFSETS = [TEXT.index(word.encode() + b"\0", 1) for word in WORDS]
HEAD = ffi.sizeof("struct kb_request")
OP = ffi.sizeof("struct kb_op")

SMALL = st.integers(0, 9)
BITS = st.sampled_from([1 << bit for bit in range(64)] + [2**64 - 1, 2**63 - 1, 2**32 - 1])
offsets = st.one_of(st.just(0), st.sampled_from(OFFSETS), st.integers(0, len(TEXT) + 3))
slots = st.one_of(st.just(lib.KB_NO_SLOT), SMALL, st.integers(-3, lib.KB_SLOTS + 2))

# What takes processes away from the launcher, or the launcher from us, for as long as it likes: pause() by seccomp and
# reading from a terminal among them.
UNBOUNDED = {lib.KB_OP_HOOK, lib.KB_OP_PRCTL, lib.KB_OP_SECCOMP}

operations = st.builds(
    Operation,
    code=st.integers(lib.KB_OP_OPEN, lib.KB_OP_END - 1).filter(lambda code: code not in UNBOUNDED),
    slots=st.tuples(slots, slots, slots, slots),
    text=st.tuples(offsets, offsets, offsets),
    numbers=st.tuples(*[st.one_of(SMALL, SMALL, BITS)] * 4),
    flags=st.sampled_from([0, 0, 0, lib.KB_MAY_FAIL, lib.KB_IN_WORKSHOP, lib.KB_IN_HOST]),
)
PROCESS = Operation(lib.KB_OP_CLONE)
PROGRAM = Operation(lib.KB_OP_EXEC, text=(OFFSETS[4], 0, OFFSETS[4]), numbers=(1, 0, 1))
spaces = st.sampled_from([0, lib.CLONE_NEWNS, lib.CLONE_NEWNS | lib.CLONE_NEWPID, lib.CLONE_NEWNET | lib.CLONE_NEWUTS])


@st.composite
def plans(draw: st.DrawFn) -> Frame:
    """Mostly of operations that are where they may be, so that many of them are done."""
    part = st.lists(operations, max_size=4)
    clone = replace(PROCESS, numbers=(draw(spaces), 0, 0, 0))
    may_fail = [replace(each, flags=each.flags | lib.KB_MAY_FAIL) for each in draw(part)]
    return Frame(
        lib.KB_LAUNCH, [*draw(part), clone], [*may_fail, *draw(part), PROGRAM], draw(part), TEXT,
        {"flags": draw(st.integers(0, 1)), "reveal": draw(slots)},
    )  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A good message of which some bytes have changed, in the head and the first operations, or its length."""
    message = bytearray(launch().encode())
    for _ in range(draw(st.integers(1, 6))):
        message[draw(st.integers(0, HEAD + 2 * OP - 1))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.none(), st.integers(1, len(message))))
    return bytes(message[:cut]) + draw(st.binary(max_size=9))


@BOUNDED
@given(frame=plans())
def test_plausible_plans(confined: ConfinedMonitor, frame: Frame) -> None:
    confined.ask(frame)


@pytest.mark.leaves("namespaces", reason="a set-up plan may have the monitor keep one")
@BOUNDED
@given(operation=operations, place=st.sampled_from(["before", "inside", "after"]))
def test_operations_one_at_a_time(confined: ConfinedMonitor, operation: Operation, place: str) -> None:
    parts = {"before": [PROCESS], "inside": [PROGRAM], "after": []}
    parts[place] = [operation, *parts[place]]
    confined.ask(Frame(lib.KB_LAUNCH, text=TEXT, **parts))
    confined.ask(Frame(lib.KB_SETUP, before=[operation], text=TEXT))


@BOUNDED
@given(message=mutations())
def test_mutilated_messages(confined: ConfinedMonitor, message: bytes) -> None:
    confined.ask(message)


@BOUNDED
@given(message=st.binary(min_size=1, max_size=2 * HEAD))
def test_noise(confined: ConfinedMonitor, message: bytes) -> None:
    confined.ask(message)
