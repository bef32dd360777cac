"""Prepared plans, kept for the next run of the same thing: all that differs is the container's id, which is a text."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

from kernelbox.engine.image import Image
from kernelbox.engine.options import RunOptions
from kernelbox.engine.preparation import Prepared
from kernelbox.store.id_ranges import IdRange

__all__ = ["ReadyPlans", "RecentPlans"]

_MOST = 64

P = TypeVar("P")


class RecentPlans(Generic[P]):
    """The newest plans by what they were made from. Safe for several threads."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Hashable, P] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: Hashable | None) -> P | None:
        with self._mutex:
            found = self._plans.get(key) if key is not None else None
            if found is not None:
                self._plans.move_to_end(key)
            return found

    def put(self, key: Hashable | None, plan: P) -> None:
        if key is None:
            return
        with self._mutex:
            self._plans[key] = plan
            while len(self._plans) > _MOST:
                self._plans.popitem(last=False)

    def clear(self) -> None:
        """Forgets them all, and with them the descriptors that only they still need."""
        with self._mutex:
            self._plans.clear()


class ReadyPlans(RecentPlans[Prepared]):
    """Those of containers that are removed when they end."""

    def take(self, key: Hashable | None) -> Prepared | None:
        """A plan of that key for a new container."""
        found = self.get(key)
        return found.renamed() if found is not None else None

    @staticmethod
    def key(
        image: Image, command: Sequence[str], options: RunOptions, taken: IdRange | None, with_input: bool
    ) -> Hashable | None:
        """None for what depends on more than is said here: files of the machine or of the image that may have
        changed."""
        looks_up = (
            image.bundle
            or options.user
            or options.group_add
            or options.volumes
            or options.mounts
            or options.devices
            or options.device_rates
            or options.privileged
            or options.network != "none"
            or options.userns == "keep-id"
            or any(getattr(options, each).startswith("container:") for each in ("pid", "ipc", "uts"))
            or image.config.user
        )
        if looks_up:
            return None
        number = taken.number if taken else -1
        return image.name, image.layers, repr(image.config), tuple(command), repr(options), number, with_input
