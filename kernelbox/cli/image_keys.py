"""`kernelbox image keygen`."""

from __future__ import annotations

import sys
from pathlib import Path

from kernelbox.cli.verbs import Given
from kernelbox.registry import keys

__all__ = ["keygen"]


def keygen(given: Given) -> int:
    path = Path(given.words[0])
    public = keys.make(path, keys.new_passphrase(path))
    sys.stdout.write(f"Private key: {path}\nPublic key: {public}\n")
    return 0
