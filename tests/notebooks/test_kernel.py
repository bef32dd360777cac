"""What only a real Jupyter kernel shows: interrupts, and where the output of threads ends up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from waiting import wait_until

pytestmark = pytest.mark.kernel


class Kernel:
    """An IPython kernel in a process of its own, talked to over Unix sockets."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/k")
        self.manager.start_kernel(env=dict(os.environ))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.messages: list[dict[str, Any]] = []

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)

    def send(self, code: str) -> str:
        """Start a cell; its message id."""
        return self.client.execute(code)

    def read(self, until: Any) -> None:
        """Take messages in until `until()`."""
        while not until():
            self.messages.append(self.client.get_iopub_msg(timeout=60))

    def of(self, cell: str, kind: str) -> list[dict[str, Any]]:
        """The content of a cell's messages of one kind."""
        return [
            message["content"]
            for message in self.messages
            if message["msg_type"] == kind and message["parent_header"].get("msg_id") == cell
        ]

    def text(self, cell: str, stream: str = "stdout") -> str:
        return "".join(each["text"] for each in self.of(cell, "stream") if each["name"] == stream)

    def ended(self, cell: str) -> bool:
        return any(each["execution_state"] == "idle" for each in self.of(cell, "status"))

    def run(self, code: str) -> str:
        """Run a cell to its end; its message id."""
        cell = self.send(code)
        self.read(lambda: self.ended(cell))
        return cell


@pytest.fixture
def kernel(store: Path, sockets: Path) -> Iterator[Kernel]:
    """With the extension loaded, on the test's own store."""
    made = Kernel(sockets)
    made.run("%load_ext kernelbox")
    yield made
    made.run("%unload_ext kernelbox")
    made.close()


def processes_with(word: str) -> list[Path]:
    """The processes of this machine with that word on their command line."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if word.encode() in file.read_bytes().split(b"\0"):
                found.append(file.parent)
    return found


def test_an_interrupt_ends_what_ignores_every_signal(kernel: Kernel) -> None:
    mark = "31415926"  # a length of sleep that nobody else uses
    cell = kernel.send(f"%%container --result r host sh\ntrap '' TERM INT HUP\nsleep {mark} &\necho up\nsleep {mark}")
    kernel.read(lambda: "up" in kernel.text(cell))
    wait_until(lambda: len(processes_with(mark)) == 2)
    kernel.manager.interrupt_kernel()
    kernel.read(lambda: kernel.ended(cell))
    (error,) = kernel.of(cell, "error")
    assert error["ename"] == "RunInterrupted"
    assert len(error["traceback"]) == 1
    wait_until(lambda: not processes_with(mark))
    after = kernel.run("print(r.stdout)")
    assert kernel.text(after) == "up\n\n"


def test_output_from_behind_goes_to_its_own_cell(kernel: Kernel) -> None:
    body = "echo behind; echo oops >&2; echo 42 > $KB_OUT/answer"
    first = kernel.run(f"%%container --bg -o answer host sh\n{body}")
    second = kernel.run("import time\nwhile 'answer' not in globals(): time.sleep(0.01)\nprint('mine', answer)")
    assert kernel.text(second) == "mine 42\n\n"
    kernel.read(lambda: "behind" in kernel.text(first) and "RunResult" in kernel.text(first))
    assert kernel.text(first).startswith("behind\n")
    assert kernel.text(first, "stderr") == "oops\n"


def test_what_had_to_wait_is_shown_in_its_cell_while_it_runs(kernel: Kernel) -> None:
    cell = kernel.send("%%container host sh\nfor i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.02; done; sleep 1000")
    kernel.read(lambda: "8" in kernel.text(cell))
    assert kernel.text(cell) == "1\n2\n3\n4\n5\n6\n7\n8\n"
    kernel.manager.interrupt_kernel()
    kernel.read(lambda: kernel.ended(cell))


def test_an_error_is_a_sentence_and_ends_the_cell_with_an_error(kernel: Kernel) -> None:
    cell = kernel.run("%%container host sh\nexit 7")
    (error,) = kernel.of(cell, "error")
    assert error["ename"] == "RunFailed"
    assert error["traceback"] == ["RunFailed: sh ended with exit code 7"]
    trace = kernel.run("%tb")
    assert kernel.of(trace, "error") or "Traceback" in kernel.text(trace)


def test_a_flood_stays_under_a_servers_limits(kernel: Kernel) -> None:
    cell = kernel.run("%%container -q host python3\nfor i in range(200_000): print('line', i)")
    parts = kernel.of(cell, "stream")
    assert len(parts) < 100
    assert sum(len(part["text"]) for part in parts) < 1_000_000
    assert "lines hidden" in kernel.text(cell)


def test_completion(kernel: Kernel) -> None:
    reply = kernel.client.complete("%%container --memory-s", reply=True, timeout=60)
    assert reply["content"]["matches"] == ["--memory-swap"]
    reply = kernel.client.complete("%%container ", reply=True, timeout=60)
    assert reply["content"]["matches"] == ["bundle:", "dir:", "exec", "host"]
