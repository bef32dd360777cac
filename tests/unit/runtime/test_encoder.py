"""The bytes that a monitor gets: sizes as its compiler sees them, offsets, slots, and texts that can be kept apart."""

from __future__ import annotations

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.native import ffi, lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import MAGIC, NONE, Encoder
from kernelbox.runtime.plan import Plan, request
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.trace import trace_rows


def operations(out: Encoder) -> list[object]:
    raw = b"".join(out.operations)
    return list(ffi.from_buffer("struct kb_op[]", raw))


def test_a_request_is_as_long_as_the_compilers() -> None:
    assert len(request(lib.KB_LAUNCH)) == ffi.sizeof("struct kb_request")


def test_the_fields_of_a_request() -> None:
    raw = request(
        lib.KB_SIGNAL, flags=1, token=b"T" * 32, parts=(2, 3, 4), given=5, reveal=6, fault=(7, 8), text_size=9,
        last_text=10, signal=11, big=12,
    )  # fmt: skip
    head = ffi.from_buffer("struct kb_request *", raw)
    assert (head.magic, head.type, head.flags, ffi.buffer(head.token)[:]) == (MAGIC, lib.KB_SIGNAL, 1, b"T" * 32)
    assert (head.before, head.inside, head.after, head.given, head.reveal) == (2, 3, 4, 5, 6)
    assert (head.fail_op, head.fail_errno, head.text_size, head.last_text, head.signal, head.big) == (
        7,
        8,
        9,
        10,
        11,
        12,
    )


def test_the_fields_of_an_operation() -> None:
    out = Encoder(["a", "b"], {"@own": 130})
    out.add(lib.KB_OP_MKDIR, 1, 2, 3, 4, at="@own", second="a", third="b", to="new", text=(5, 6, 7), flags=2)
    out.add(lib.KB_OP_SESSION)
    first, second = operations(out)
    assert (first.code, first.flags) == (lib.KB_OP_MKDIR, 2)
    assert (list(first.slot), list(first.text), list(first.num)) == ([130, 0, 1, 2], [5, 6, 7], [1, 2, 3, 4])
    assert (list(second.slot), list(second.text), list(second.num)) == ([lib.KB_NO_SLOT] * 4, [0] * 3, [0] * 4)


def test_slots_count_on_from_what_is_sent_along() -> None:
    out = Encoder(["stdin", "stdout"], {"@trash": 129})
    assert [out.slot(name) for name in ("stdin", "new", "other", "new", "@trash", NONE)] == [0, 2, 3, 2, 129, -1]


def test_there_is_an_end_of_slots() -> None:
    out = Encoder([], {})
    assert [out.slot(str(number)) for number in range(lib.KB_SHARED_SLOTS)] == list(range(lib.KB_SHARED_SLOTS))
    with pytest.raises(InvalidOption, match="more than 128 descriptors"):
        out.slot("one more")


def test_texts() -> None:
    out = Encoder([], {})
    assert out.string(None) == 0
    first, empty, raw, again = out.string("ä\udcff"), out.string(""), out.string(b"\1\0\2"), out.string("ä\udcff")
    assert first == again > 0
    assert len({0, first, empty, raw}) == 4
    many = out.strings(["one", "", "two"])
    assert bytes(out.text[many:]) == b"one\0\0two\0"
    assert bytes(out.text[first : first + 4]) == b"\xc3\xa4\xff\0"
    assert bytes(out.text[raw : raw + 4]) == b"\1\0\2\0"
    assert out.text[empty] == 0


def test_the_last_part_shares_no_text_with_the_others() -> None:
    out = Encoder([], {})
    shared = out.string("name")
    begin = out.begin_last_part()
    assert begin == len(out.text) > shared
    assert out.string("name") >= begin
    assert out.string(None) == 0


@frozen
class Two(Step):
    """A step of two operations."""

    name: str

    def describe(self) -> str:
        return f"do {self.name}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SESSION, text=(out.string(self.name),))
        out.add(lib.KB_OP_SESSION)


PLAN = Plan((Two("a"),), (Two("b"), Two("c")), (Two("a"),))


def test_the_parts_of_a_plan() -> None:
    encoded = PLAN.encode([], {})
    assert encoded.parts == (2, 4, 2)
    assert list(encoded.owners) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [encoded.operation_of(step) for step in (1, 2, 3, 4)] == [0, 2, 4, 6]
    assert encoded.text[encoded.last_text :] == b"a\0"


def test_a_plan_in_words() -> None:
    assert PLAN.describe() == "  1 outside do a\n  2 inside  do b\n  3 inside  do c\n  4 after   do a\n"


def test_the_rows_of_a_trace() -> None:
    """Operations of one step are summed; what was not reached has no start, and no row."""
    traced = [(1000, 3000, 0, 0), (3000, 4000, 0, 1), (9000, 9500, 12, 2), (0, 0, 0, 3), (0, 0, 0, 4)]
    first, second = trace_rows(PLAN.encode([], {}), traced)
    assert (first.number, first.where, first.what) == (1, "outside", "do a")
    assert (first.start_us, first.duration_us, first.errno) == (0.0, 3.0, 0)
    assert (second.number, second.where, second.start_us, second.duration_us, second.errno) == (
        2,
        "inside",
        8.0,
        0.5,
        12,
    )


def test_the_trace_of_nothing() -> None:
    assert trace_rows(PLAN.encode([], {}), [(0, 0, 0, 0)]) == ()


def test_no_strings_have_no_place() -> None:
    """Nor one just behind the text, which the monitor would refuse."""
    out = Encoder([], {})
    assert out.strings(()) == 0
    assert out.strings(("a",)) == 1
