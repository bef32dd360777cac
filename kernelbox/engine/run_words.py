"""What a monitor remembers of a container that is not kept, for whoever asks which there are: its image, its command,
its name. It is part of the plan, and written nowhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernelbox.native import lib

if TYPE_CHECKING:
    from kernelbox.engine.options import RunOptions

__all__ = ["encode", "name_of"]

_LONGEST_COMMAND = 512
_MORE = "..."


def name_of(identity: str) -> str:
    """Of one that was given none."""
    return f"run-{identity[:8]}"


def encode(image: str, command: Sequence[str], options: RunOptions) -> bytes:
    """Labels are left out where they are too long, and the rest of the command."""
    words: list[str] = []
    left = _LONGEST_COMMAND
    for word in command:
        words.append(word if len(word) <= left else word[:left] + _MORE)
        left -= len(word)
        if left <= 0:
            break
    said = {"image": image, "command": words, "name": options.name or "", "labels": dict(options.labels)}
    said["network"] = options.network
    encoded = json.dumps(said).encode()
    if len(encoded) > lib.KB_MOST_WORDS:
        encoded = json.dumps({**said, "labels": {}, "command": [word[:80] for word in words[:1]]}).encode()
    return encoded if len(encoded) <= lib.KB_MOST_WORDS else b"{}"
