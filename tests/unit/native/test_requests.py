"""Requests that no engine sends: each is answered with an error or closed, and the monitor lives on."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from unit.native.conftest import ConfinedMonitor
from unit.native.frames import NO_SLOTS, Frame, Operation, launch, replies, send

from kernelbox.native import ffi, lib

pytestmark = [pytest.mark.kernel, pytest.mark.outside]

INVALID = (lib.KB_FAILED, errno.EINVAL)
TRUE = launch()
HEAD = ffi.sizeof("struct kb_request")
SHARED = lib.KB_SHARED_SLOTS
F_ADD_SEALS = 1033
SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE = 1, 2, 4, 8, 16


def outcome(monitor: ConfinedMonitor, frame: Frame | bytes, *descriptors: int) -> tuple[int, int]:
    answers = monitor.ask(frame, descriptors)
    return answers[-1].kind, answers[-1].error


@contextmanager
def memory_file(content: bytes, seals: int) -> Iterator[int]:
    descriptor = os.memfd_create("plan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, content)
        fcntl.fcntl(descriptor, F_ADD_SEALS, seals)
        yield descriptor
    finally:
        os.close(descriptor)


def setup(*operations: Operation, text: bytes = b"\0name\0", **head: int) -> Frame:
    return Frame(lib.KB_SETUP, operations, text=text, head=head)


def test_a_process_runs_and_its_end_is_told(confined: ConfinedMonitor) -> None:
    started, exited = confined.ask(TRUE)
    assert (started.kind, exited.kind) == (lib.KB_STARTED, lib.KB_EXITED)
    assert (exited.status, exited.signal) == (0, 0)


def test_a_program_that_is_missing_is_told(confined: ConfinedMonitor) -> None:
    (failed,) = confined.ask(launch("/nowhere"))
    assert (failed.kind, failed.error, failed.op) == (lib.KB_FAILED, errno.ENOENT, 1)


@pytest.mark.parametrize("size", [1, 3, HEAD - 1, HEAD, HEAD + 1, len(TRUE.encode()) - 1])
def test_a_message_that_ends_early(confined: ConfinedMonitor, size: int) -> None:
    assert outcome(confined, TRUE.encode()[:size]) == INVALID


def test_a_message_that_goes_on(confined: ConfinedMonitor) -> None:
    assert outcome(confined, TRUE.encode() + b"x") == INVALID


def test_a_message_that_is_too_long(confined: ConfinedMonitor) -> None:
    assert outcome(confined, TRUE.encode() + bytes(202_000)) == INVALID


def test_another_protocol(confined: ConfinedMonitor) -> None:
    assert outcome(confined, TRUE.but(magic=0x4B423030)) == (lib.KB_FAILED, errno.EPROTO)


@pytest.mark.parametrize(
    "head",
    [
        {"type": 0}, {"type": 99}, {"text_size": 0}, {"text_size": 2**32 - 1}, {"text_size": 4}, {"last_text": 99},
        {"before": 65535, "inside": 65535, "after": 65535}, {"before": 2047}, {"before": 0}, {"inside": 0},
        {"before": 2, "inside": 0}, {"before": 0, "inside": 0, "after": 2}, {"reveal": SHARED + 64}, {"reveal": 32767},
        {"reveal": -2}, {"reveal": -32768}, {"big": 1}, {"big": -1}, {"big": 32767}, {"type": lib.KB_SETUP},
    ],
    ids=str,
)  # fmt: skip
def test_a_head_that_cannot_be(confined: ConfinedMonitor, head: dict[str, int]) -> None:
    kind, error = outcome(confined, TRUE.but(**head))
    assert kind == lib.KB_FAILED
    assert error == errno.EINVAL


def test_revealing_a_slot_that_is_empty(confined: ConfinedMonitor) -> None:
    assert [reply.kind for reply in confined.ask(TRUE.but(reveal=5))] == [lib.KB_STARTED, lib.KB_EXITED]


@pytest.mark.parametrize(
    "operation",
    [
        Operation(0), Operation(lib.KB_OP_END), Operation(65535),
        Operation(lib.KB_OP_OPEN, text=(6,)), Operation(lib.KB_OP_OPEN, text=(2**32 - 1,)), Operation(lib.KB_OP_OPEN),
        Operation(lib.KB_OP_OPEN, (lib.KB_SLOTS, -1, -1, 0), (1,)), Operation(lib.KB_OP_OPEN, (-2, -1, -1, 0), (1,)),
        Operation(lib.KB_OP_OPEN, (-1, -1, -1, 32767), (1,)), Operation(lib.KB_OP_WRITE, text=(1, 2), numbers=(5,)),
        Operation(lib.KB_OP_WRITE, text=(1, 0), numbers=(1,)),
        Operation(lib.KB_OP_WRITE, text=(1, 2), numbers=(2**64 - 1,)),
        Operation(lib.KB_OP_RMDIR, text=(1,), numbers=(2**64 - 1,)), Operation(lib.KB_OP_UMOUNT, text=(1,)),
        Operation(lib.KB_OP_HOOK, text=(1, 0, 0), numbers=(2, 0, 0, 10)),
        Operation(lib.KB_OP_HOOK, text=(1,), numbers=(1,)),
        Operation(lib.KB_OP_HOOK, text=(1,), numbers=(2**64 - 1, 0, 0, 10)),
        Operation(lib.KB_OP_EXEC, text=(1, 0, 1), numbers=(1, 0, 1)), Operation(lib.KB_OP_CLONE),
        Operation(lib.KB_OP_SETNS), Operation(lib.KB_OP_USER), Operation(lib.KB_OP_CLOSE_FROM),
        Operation(lib.KB_OP_DUP), Operation(lib.KB_OP_OUTBOUND), Operation(lib.KB_OP_OUTBOUND_TIE),
        Operation(lib.KB_OP_OUTBOUND, (-1, SHARED, 1, 2), (1,), (2,)),
        Operation(lib.KB_OP_OUTBOUND, (-1, 0, 1, 2), (1,), (2**64 - 1,)),
    ],
    ids=lambda each: f"{each.code}-{each.slots}-{each.text}-{each.numbers}",
)  # fmt: skip
def test_an_operation_that_cannot_be_in_a_set_up(confined: ConfinedMonitor, operation: Operation) -> None:
    assert outcome(confined, setup(operation)) == INVALID


@pytest.mark.parametrize(
    "operation",
    [
        Operation(lib.KB_OP_CLONE),
        Operation(lib.KB_OP_OPEN, (-1, -1, -1, SHARED), (1,)),
        Operation(lib.KB_OP_FSMOUNT, (SHARED, -1, -1, 0)),
        Operation(lib.KB_OP_UMOUNT, text=(1,), flags=lib.KB_IN_WORKSHOP),
        Operation(lib.KB_OP_SWEEP, (0, 0, -1, -1), (1,)),
        Operation(lib.KB_OP_EXEC, text=(1, 0, 1), numbers=(2, 0, 1)),
        Operation(lib.KB_OP_EXEC, text=(1, 0, 1), numbers=(1, 0, 0)),
        Operation(lib.KB_OP_SECCOMP, text=(1,), numbers=(65536,)),
        Operation(lib.KB_OP_SECCOMP, text=(1,), numbers=(2,)),
        Operation(lib.KB_OP_GROUPS, text=(1,), numbers=(2**62,)),
        Operation(lib.KB_OP_MOUNT, text=(1, 1, 1), numbers=(0, 2**40)),
    ],
    ids=lambda each: f"{each.code}-{each.slots}-{each.text}-{each.numbers}",
)
def test_an_operation_that_cannot_be_inside(confined: ConfinedMonitor, operation: Operation) -> None:
    assert outcome(confined, replace(TRUE, inside=[operation, *TRUE.inside])) == INVALID


def test_texts_of_the_last_part_lie_in_its_part_of_the_text(confined: ConfinedMonitor) -> None:
    last = Operation(lib.KB_OP_READ, (0, -1, -1, -1), (1,))
    assert outcome(confined, replace(TRUE, after=[last], head={"last_text": 5})) == INVALID
    assert outcome(confined, replace(TRUE, after=[last], head={"last_text": 1}))[0] == lib.KB_EXITED


def test_words_lie_in_what_is_kept_of_the_text(confined: ConfinedMonitor) -> None:
    fits = {"last_text": 5, "words": 5, "words_size": 3}
    for wrong in ({"words": 4}, {"words_size": 100}, {"words_size": 2**32 - 1}, {"words": 2**32 - 1}, {"words": 0}):
        assert outcome(confined, replace(TRUE, head=fits | wrong)) == INVALID, wrong
    assert outcome(confined, replace(TRUE, head=fits))[0] == lib.KB_EXITED


def test_two_programs_in_one_plan(confined: ConfinedMonitor) -> None:
    assert outcome(confined, replace(TRUE, inside=[*TRUE.inside, *TRUE.inside])) == INVALID


def test_two_processes_in_one_plan(confined: ConfinedMonitor) -> None:
    assert outcome(confined, replace(TRUE, before=[*TRUE.before, *TRUE.before])) == INVALID


def test_a_plan_that_ends_without_a_program(confined: ConfinedMonitor) -> None:
    (failed,) = confined.ask(replace(TRUE, inside=[Operation(lib.KB_OP_UMASK)]))
    assert (failed.kind, failed.error) == (lib.KB_FAILED, errno.EINTR)


def test_a_target_behind_too_many_links_is_refused(confined: ConfinedMonitor) -> None:
    # A dangling link on each level; the ninth is one too many.
    links = [f"/tmp/link{number}\0".encode() for number in range(12)]
    text = b"\0/\0" + b"".join(links) + b"/bin/true\0"
    offsets = [text.index(link) for link in links]
    made = [Operation(lib.KB_OP_SYMLINK, text=(offsets[n], offsets[n + 1]), flags=lib.KB_MAY_FAIL) for n in range(11)]
    root = Operation(lib.KB_OP_OPEN, (-1, -1, -1, 0), (1,), (os.O_PATH,))
    attach = Operation(lib.KB_OP_ATTACH, (-1, 0, -1, -1), (offsets[0],), (lib.KB_TARGET_FOLDER,))
    run = replace(TRUE.inside[0], text=(text.index(b"/bin"), 0, text.index(b"/bin")))
    (failed,) = confined.ask(replace(TRUE, before=[root, *made, *TRUE.before], inside=[attach, run], text=text))
    assert (failed.kind, failed.error) == (lib.KB_FAILED, errno.ELOOP)


@pytest.mark.parametrize("requests", [b"\xff" * 16, b"\0" * 16, (2**32 - 1).to_bytes(4, "little") + bytes(28)])
def test_netlink_messages_of_impossible_length(confined: ConfinedMonitor, requests: bytes) -> None:
    text = b"\0" + requests + b"/bin/true\0"
    run = replace(TRUE.inside[0], text=(1 + len(requests), 0, 1 + len(requests)))
    send_it = Operation(lib.KB_OP_NETLINK, text=(1,), numbers=(len(requests),))
    assert outcome(confined, replace(TRUE, inside=[send_it, run], text=text)) == INVALID


def test_a_netlink_message_that_asks_for_no_answer(confined: ConfinedMonitor) -> None:
    request = (16).to_bytes(4, "little") + lib.RTM_GETLINK.to_bytes(2, "little") + bytes(10)
    text = b"\0" + request + b"/bin/true\0"
    run = replace(TRUE.inside[0], text=(17, 0, 17))
    send_it = Operation(lib.KB_OP_NETLINK, text=(1,), numbers=(16,))
    assert outcome(confined, replace(TRUE, inside=[send_it, run], text=text)) == (lib.KB_FAILED, errno.EAGAIN)


def test_a_plan_in_a_file(confined: ConfinedMonitor) -> None:
    with memory_file(TRUE.body(), SEAL | SHRINK | GROW | WRITE) as file:
        assert outcome(confined, TRUE.but(big=1).encode_head(), file)[0] == lib.KB_EXITED


@pytest.mark.parametrize("seals", [0, SEAL, SHRINK, GROW, FUTURE_WRITE, FUTURE_WRITE | SHRINK, WRITE, WRITE | GROW])
def test_a_plan_in_a_file_that_could_still_change(confined: ConfinedMonitor, seals: int) -> None:
    with memory_file(TRUE.body(), seals) as file:
        assert outcome(confined, TRUE.but(big=1).encode_head(), file) == INVALID


def test_a_plan_in_a_file_of_another_size(confined: ConfinedMonitor) -> None:
    with memory_file(TRUE.body() + b"\0", SEAL | SHRINK | GROW | WRITE) as file:
        assert outcome(confined, TRUE.but(big=1).encode_head(), file) == INVALID
    with memory_file(b"", SEAL | SHRINK | GROW | WRITE) as file:
        assert outcome(confined, TRUE.but(big=1).encode_head(), file) == INVALID


def test_a_plan_in_something_that_is_no_memory_file(confined: ConfinedMonitor) -> None:
    with open("/dev/null", "rb") as null:
        assert outcome(confined, TRUE.but(big=1).encode_head(), null.fileno()) == INVALID


def test_an_enormous_plan(confined: ConfinedMonitor) -> None:
    many = Frame(lib.KB_SETUP, [Operation(lib.KB_OP_HOLD)] * 2049)
    with memory_file(many.body(), SEAL | SHRINK | GROW | WRITE) as file:
        assert outcome(confined, many.but(big=1).encode_head(), file) == INVALID
    arguments = b"\0/bin/true\0" + b"x\0" * 1_500_000
    run = Operation(lib.KB_OP_EXEC, text=(1, 0, 1), numbers=(1_500_001, 0, 1))
    long = replace(TRUE, inside=[run], text=arguments)
    with memory_file(long.body(), SEAL | SHRINK | GROW | WRITE) as file:
        assert outcome(confined, long.but(big=1).encode_head(), file) == (lib.KB_FAILED, errno.E2BIG)


def test_more_descriptors_than_there_are_slots(confined: ConfinedMonitor) -> None:
    with open("/dev/null", "rb") as null:
        assert outcome(confined, TRUE, *[null.fileno()] * 129) == INVALID
        assert outcome(confined, TRUE, *[null.fileno()] * 128)[0] == lib.KB_EXITED


def test_descriptors_are_closed_whatever_they_came_with(confined: ConfinedMonitor) -> None:
    """The other end of a pipe tells."""
    for message in (b"", b"x", TRUE.encode()[:-1], TRUE.but(magic=1).encode(), Frame(lib.KB_SYNC).encode()):
        reader, writer = os.pipe()
        try:
            with confined.connect() as connection:
                send(connection, message, [writer])
                os.close(writer)
                writer = -1
                replies(connection)
            os.set_blocking(reader, True)
            assert os.read(reader, 1) == b""
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)


def test_a_signal_for_nobody(confined: ConfinedMonitor) -> None:
    assert outcome(confined, Frame(lib.KB_SIGNAL, head={"signal": 9})) == (lib.KB_FAILED, errno.ESRCH)


def test_a_fault_beyond_the_plan(confined: ConfinedMonitor) -> None:
    for fault in (2, 32767, -32768):
        assert outcome(confined, TRUE.but(fail_op=fault, fail_errno=12))[0] == lib.KB_EXITED
    for number in (0, -32768, 32767):
        assert confined.ask(TRUE.but(fail_op=0, fail_errno=number))


def test_slots_of_no_descriptor(confined: ConfinedMonitor) -> None:
    for code in range(lib.KB_OP_OPEN, lib.KB_OP_END):
        for slots in (NO_SLOTS, (7, 7, 7, 7), (0, 1, 2, 3)):
            operation = Operation(code, slots, (1, 1, 1), (1, 1, 1, 1))
            assert confined.ask(replace(TRUE, inside=[operation, *TRUE.inside]))


def test_a_user_namespace_with_maps_that_cannot_be(confined: ConfinedMonitor) -> None:
    """Refused by the kernel; the helper that was to be in it has ended, and its descriptors are closed."""

    def make(users: bytes, groups: bytes) -> Frame:
        text = b"\0" + users + b"\0" + groups + b"\0"
        operation = Operation(lib.KB_OP_USERNS, (-1, -1, -1, 0), text=(1, len(users) + 2, 0))
        return setup(operation, text=text)

    good = b"1000 0 1"
    assert outcome(confined, make(good, good)) == (lib.KB_OK, 0)
    bad = {b"": errno.EINVAL, b"x": errno.EINVAL, b"0 0 0": errno.EINVAL, b"0 7 1": errno.EPERM}
    for maps in ((each, good) for each in bad):
        assert outcome(confined, make(*maps)) == (lib.KB_FAILED, bad[maps[0]])
    for each in bad:
        assert outcome(confined, make(good, each)) == (lib.KB_FAILED, bad[each])
    without = Operation(lib.KB_OP_USERNS, (-1, -1, -1, 0), text=(1, 0, 0))
    assert outcome(confined, setup(without)) == INVALID
