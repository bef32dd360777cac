"""Containers that are kept hold nothing in the process that started them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelbox import Engine


def sockets() -> int:
    """Open ones of this process."""
    links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(link.startswith("socket:") for link in links)


def test_a_start_gives_its_connection_back(engine: Engine, busybox_image: str) -> None:
    with ExitStack() as stack:

        def start() -> None:
            container = engine.containers.run(busybox_image, ["sleep", "infinity"])
            stack.callback(container.remove, force=True)

        start()
        before = sockets()
        for _ in range(3):
            start()
        assert sockets() == before
