"""Output on its way to the cell: at once when there is little, never more than a notebook server bears."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from kernelbox_magics.output import CellOutput, Flood
from waiting import wait_until

FLOOD = Flood(interval=0.1, burst=1000, rate=100, total=3000, trickle=10, tail=60)


@dataclass
class Screen:
    """What was shown, and a clock that only the test moves."""

    shown: list[tuple[int, str]] = field(default_factory=list)
    now: float = 100.0

    def show(self, stream: int, text: str) -> None:
        self.shown.append((stream, text))

    def text(self, stream: int = 1) -> str:
        return "".join(text for number, text in self.shown if number == stream)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def output(screen: Screen) -> CellOutput:
    """Without the timer: what it would show is shown by the next chunk or at the end."""
    made = CellOutput(screen.show, FLOOD, clock=lambda: screen.now)
    made._wait = lambda: None  # type: ignore[method-assign]
    return made


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %04d\n" % number for number in range(first, last))


def test_the_first_chunk_is_shown_at_once(screen: Screen, output: CellOutput) -> None:
    output.feed(1, b"hello\n")
    assert screen.shown == [(1, "hello\n")]


def test_streams_keep_apart(screen: Screen, output: CellOutput) -> None:
    output.feed(1, b"out\n")
    output.feed(2, b"err\n")
    output.close()
    assert screen.shown == [(1, "out\n"), (2, "err\n")]


def test_many_small_chunks_become_few_messages(screen: Screen, output: CellOutput) -> None:
    for number in range(100):
        output.feed(1, b"%d\n" % number)
        screen.now += 0.01
    output.close()
    assert len(screen.shown) <= 11
    assert screen.text() == "".join(f"{number}\n" for number in range(100))


def test_a_flood_is_cut_to_head_and_tail(screen: Screen, output: CellOutput) -> None:
    output.feed(1, lines(0, 5000))
    output.feed(1, lines(5000, 10000))
    output.close()
    shown = screen.text()
    assert shown.startswith("line 0000\n")
    assert shown.endswith("line 9998\nline 9999\n")
    assert "… 9,895 lines hidden, all in result.stdout …\n" in shown
    assert len(shown) < FLOOD.burst + FLOOD.tail + 80
    assert shown.count("line ") == 10000 - 9895


def test_the_notice_names_its_stream_and_starts_a_line(screen: Screen, output: CellOutput) -> None:
    output.feed(2, b"x" * 5000)
    output.close()
    assert "x\n\x1b[0m… 3,940 bytes hidden, all in result.stderr …\nx" in screen.text(2)


def test_one_hidden_line_is_one_line(screen: Screen, output: CellOutput) -> None:
    output.feed(1, b"a" * 999 + b"\n" + b"b" * 10 + b"\n" + b"c" * 50 + b"\n")
    output.close()
    assert "… 1 line hidden" in screen.text()


def test_when_the_flood_ebbs_its_end_is_shown_and_it_goes_on(screen: Screen, output: CellOutput) -> None:
    output.feed(1, lines(0, 1000))
    screen.now += 6
    output.feed(1, b"later\n")
    assert screen.text().endswith("line 0999\nlater\n")
    screen.now += 1
    output.feed(1, b"and on\n")
    assert screen.text().endswith("later\nand on\n")


def test_slow_output_is_never_hidden(screen: Screen, output: CellOutput) -> None:
    for number in range(2000):
        output.feed(1, b"line %04d\n" % number)
        screen.now += 2
    output.close()
    assert screen.text() == lines(0, 2000).decode()


def test_after_the_total_only_a_trickle(screen: Screen, output: CellOutput) -> None:
    for _ in range(600):
        output.feed(1, lines(0, 10))
        screen.now += 1
    output.close()
    assert len(screen.text()) < FLOOD.total + FLOOD.burst + 600 * FLOOD.trickle + 600 * 60
    assert "lines hidden" in screen.text()


def test_a_character_that_is_cut_by_the_flood_is_no_error(screen: Screen, output: CellOutput) -> None:
    output.feed(1, "€".encode() * 2000)
    output.close()
    assert screen.text().endswith("€")


def test_what_waits_is_shown_without_a_further_chunk(screen: Screen) -> None:
    ticking = threading.Event()

    def show(stream: int, text: str) -> None:
        screen.show(stream, text)
        if threading.current_thread() is not threading.main_thread():
            ticking.set()

    with CellOutput(show, Flood(interval=0.01)) as output:
        output.feed(1, b"now\n")
        output.feed(1, b"soon\n")
        wait_until(ticking.is_set, "the timer shows the second line")
    assert screen.text() == "now\nsoon\n"


def test_closing_ends_the_timer(screen: Screen) -> None:
    output = CellOutput(screen.show, Flood(interval=1000))
    output.feed(1, b"now\n")
    output.feed(1, b"never by itself\n")
    output.close()
    output.close()
    assert screen.text() == "now\nnever by itself\n"
    assert not [thread for thread in threading.enumerate() if "cell output" in thread.name]
