"""A plan: what is done outside, inside and after, as data. It can be read, tested without root, sent, and sent
again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct

from kernelbox.native import lib
from kernelbox.runtime.encoder import MAGIC, NONE, Encoder
from kernelbox.runtime.steps.base import INSIDE, LAST, OUTSIDE, Step

__all__ = ["PLAN_FILE", "EncodedPlan", "Fault", "Life", "Plan", "request"]

PLAN_FILE = "plan file"

_LONGEST_MESSAGE = 150_000
_REQUEST = Struct("=IHH32s4Hhhhxx4Iihh7h3HIQ6I")  # struct kb_request, with struct kb_life and kb_health in it
_STREAMS = ("stdin", "stdout", "stderr")

FOLDER, OUTPUT, ERROR, INPUT, PROCESS = "folder", "output", "error", "input", "process"
ATTACHED = ("attached output", "attached error")
"""What a plan calls the descriptors of a kept container that its monitor keeps."""
_LIFE_SLOTS = (FOLDER, OUTPUT, ERROR, INPUT, *ATTACHED, PROCESS)
_NO_LIFE = (lib.KB_NO_SLOT,) * 7 + (0,) * 5
_NO_HEALTH = (0,) * 6


@dataclass(frozen=True, slots=True)
class Fault:
    """For tests: step `step` (from 1) fails with `errno` instead of being done."""

    step: int
    errno: int


@dataclass(frozen=True, slots=True)
class Life:
    """How a container is kept that outlives whoever started it (struct kb_life). `log_files` 0 is no log, `log_size` 0
    any size; `restart` is one of KB_NEVER, KB_ON_FAILURE and KB_ALWAYS, `restart_most` 0 any number of times."""

    log_files: int = 1
    log_size: int = 0
    restart: int = lib.KB_NEVER
    restart_most: int = 0
    restarts: int = 0

    def pack(self, slots: Mapping[str, int]) -> tuple[int, ...]:
        """The fields of the struct; descriptors by their names in the plan."""
        places = (slots.get(name, lib.KB_NO_SLOT) for name in _LIFE_SLOTS)
        return (*places, self.restart, self.log_files, self.restarts, self.restart_most, self.log_size)


def request(
    kind: int,
    *,
    flags: int = 0,
    token: bytes = b"",
    parts: tuple[int, int, int] = (0, 0, 0),
    given: int = 0,
    reveal: int = lib.KB_NO_SLOT,
    fault: tuple[int, int] = (-1, 0),
    text_size: int = 1,
    last_text: int = 0,
    words: tuple[int, int] = (0, 0),
    signal: int = 0,
    big: int = 0,
    life: tuple[int, ...] = _NO_LIFE,
    health: tuple[int, ...] = _NO_HEALTH,
) -> bytes:
    """The head of a message to the monitor; without operations it is followed by one NUL, the empty text."""
    return _REQUEST.pack(
        MAGIC, kind, flags, token, *parts, given, reveal, *fault, text_size, last_text, *words, signal, big, 0, *life,
        *health,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EncodedPlan:
    """A plan as bytes, for the container `id`; the steps of `plan` may still speak of `first_id`. `words` is where what
    the container is stands in the text, and how long that is. `owners` gives for
    each operation the number of its step, from 0; `pipes` are bits 0 to 2 for the streams that are to be pipes, `names`
    the descriptors that must be sent along."""

    plan: Plan
    id: str
    first_id: str
    names: tuple[str, ...]
    pipes: int
    operations: bytes
    text: bytes
    parts: tuple[int, int, int]
    owners: Sequence[int]
    slots: Mapping[str, int]
    last_text: int
    words: tuple[int, int] = (0, 0)

    @property
    def in_file(self) -> bool:
        """Whether it is too long for one message, and goes as a memfd that has a place among the descriptors."""
        return PLAN_FILE in self.slots

    def renamed(self, identity: str) -> EncodedPlan:
        """The same plan for another container: ids are of one length, so that nothing moves."""
        old, new = self.id.encode(), identity.encode()
        text = self.text.replace(old, new).replace(old[:12], new[:12])
        return dataclasses.replace(self, id=identity, text=text)

    def describe(self, step: Step) -> str:
        """The phrase of one of the plan's steps, as it is done for this container."""
        old, new = self.first_id, self.id
        return step.describe() if old == new else step.describe().replace(old, new).replace(old[:12], new[:12])

    def operation_of(self, step: int) -> int:
        """The first operation of step `step` (from 1)."""
        return list(self.owners).index(step - 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """`outside` runs in the monitor and ends with the step that makes the process, `inside` in that process and ends
    with exec, `last` in the monitor after the end or after a failure."""

    outside: tuple[Step, ...]
    inside: tuple[Step, ...] = ()
    last: tuple[Step, ...] = ()
    reveal: str = NONE

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.outside + self.inside + self.last

    def where(self, number: int) -> str:
        """Where the step with this number (from 0) runs."""
        if number < len(self.outside):
            return OUTSIDE
        return INSIDE if number < len(self.outside) + len(self.inside) else LAST

    def describe(self) -> str:
        """One line a step: number, place, phrase."""
        return "".join(
            f"{number + 1:3} {self.where(number):7} {step.describe()}\n" for number, step in enumerate(self.steps)
        )

    def encode(
        self,
        names: Sequence[str],
        shared: Mapping[str, int],
        *,
        identity: str = "",
        pipes: int = 0,
        piped_names: Sequence[str] = _STREAMS,
        words: bytes = b"",
    ) -> EncodedPlan:
        """`names` are the descriptors that go along in their order, `shared` the monitor's own; `piped_names` is what
        the steps call those of `pipes`. `words` are for whoever asks the monitor for its containers."""
        piped = [name for bit, name in enumerate(piped_names) if pipes >> bit & 1]
        rest = (shared, identity, tuple(names), pipes, words)
        encoded = self._encode((*names, *piped), *rest)
        if len(encoded.operations) + len(encoded.text) > _LONGEST_MESSAGE:
            encoded = self._encode((*names, PLAN_FILE, *piped), *rest)
        return encoded

    def _encode(
        self,
        passed: Sequence[str],
        shared: Mapping[str, int],
        identity: str,
        names: tuple[str, ...],
        pipes: int,
        words: bytes,
    ) -> EncodedPlan:
        out = Encoder(passed, shared)
        ends = []
        last_text = 0
        for part in (self.outside, self.inside, self.last):
            if part is self.last:
                last_text = out.begin_last_part()
            for step in part:
                step.encode(out)
                out.step += 1
            ends.append(len(out.operations))
        parts = (ends[0], ends[1] - ends[0], ends[2] - ends[1])
        place = (out.string(words), len(words)) if words else (0, 0)
        return EncodedPlan(
            plan=self,
            id=identity,
            first_id=identity,
            names=names,
            pipes=pipes,
            operations=b"".join(out.operations),
            text=bytes(out.text),
            parts=parts,
            owners=out.owners,
            slots=out.slots,
            last_text=last_text,
            words=place,
        )
