"""Several things at once, all of them or none to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from kernelbox.registry.stop import Stop

__all__ = ["at_once"]


def at_once(tasks: Iterable[Callable[[], None]], most: int, stop: Stop) -> None:
    """Runs them, `most` at a time, in their order. When one fails, or the caller is interrupted, `stop` is set, the
    others are waited for, and the first error is raised."""
    with ThreadPoolExecutor(most, thread_name_prefix="kernelbox-registry") as pool:
        running = [pool.submit(task) for task in tasks]
        try:
            for each in as_completed(running):
                each.result()
        except BaseException:
            stop.set()
            for each in running:
                each.cancel()
            raise
