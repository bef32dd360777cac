"""Control groups on a machine with both versions: limits by the v1 controllers, life and cpu time by the v2 tree.

This is what systemd calls "hybrid". The v2 tree often has no controllers at all and is useful all the same: it counts
cpu time (`cpu.stat`), freezes (`cgroup.freeze`), kills (`cgroup.kill`) and tells when it is empty (`cgroup.events`). So
a container has one group there and one in each v1 tree that it needs, the v2 group first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernelbox.linux.cgroups.model import Counter, Group, Limits, Mount
from kernelbox.linux.cgroups.v1 import V1
from kernelbox.linux.cgroups.v2 import KNOBS, V2

__all__ = ["Hybrid"]


@dataclass(frozen=True, slots=True)
class Hybrid:
    """Both trees; a controller is in one of them only (cgroups(7))."""

    v1: V1
    v2: V2
    version: Literal["hybrid"] = "hybrid"

    @property
    def controllers(self) -> Mapping[str, Mount]:
        return {**self.v2.controllers, **self.v1.controllers}

    @property
    def unified(self) -> Path | None:
        return self.v2.unified

    def parents(self, prefix: str) -> tuple[Group, ...]:
        return (*self.v2.parents(prefix), *self.v1.parents(prefix))

    def groups(self, name: str, limits: Limits, device_lines: Sequence[str] = ()) -> tuple[Group, ...]:
        return (*self.v2.groups(name, limits), *self.v1.groups(name, limits, device_lines))

    def counters(self, groups: Sequence[Group]) -> tuple[Counter, ...]:
        return (*self.v2.counters(groups), *self.v1.counters(groups))

    def unsupported(self, limits: Limits) -> tuple[str, ...]:
        by_v2 = {knob.limit for knob in KNOBS if knob.controller in self.v2.controllers}
        reasons = [reason for reason in self.v1.unsupported(limits) if _limit(reason) not in by_v2]
        return (*reasons, *(reason for reason in self.v2.unsupported(limits) if _limit(reason) in by_v2))


def _limit(reason: str) -> str:
    return reason.partition(":")[0]
