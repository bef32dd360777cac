"""The name of content: an algorithm and what it makes of the bytes (image-spec v1.1, descriptor.md, "Digests").

>>> str(Digest.of(b""))
'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
"""

from __future__ import annotations

import hashlib
import re

from kernelbox.errors import InvalidContent
from kernelbox.oci.value import frozen

__all__ = ["ALGORITHMS", "Digest"]

ALGORITHMS = {"sha256": 64, "sha512": 128}
"""Those that content is checked with, and how many hexadecimal digits each has."""

_FORM = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_HEX = re.compile(r"[0-9a-f]+")


@frozen
class Digest:
    """`encoded` is in lower-case hexadecimal digits."""

    algorithm: str
    encoded: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"

    @property
    def short(self) -> str:
        """The twelve digits that Docker shows."""
        return self.encoded[:12]

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Raises InvalidContent for what is no digest, and for algorithms that nothing here could be checked with."""
        algorithm, _, encoded = text.partition(":")
        if not _FORM.fullmatch(text):
            raise InvalidContent(f"{text[:100]!r} is no digest", hint="sha256: and 64 hexadecimal digits, for example")
        if algorithm not in ALGORITHMS:
            known = " and ".join(ALGORITHMS)
            raise InvalidContent(f"digests of the kind {algorithm[:40]!r} cannot be checked: {known} can")
        if len(encoded) != ALGORITHMS[algorithm] or not _HEX.fullmatch(encoded):
            raise InvalidContent(
                f"{text[:150]!r} is no digest: {algorithm} has {ALGORITHMS[algorithm]} lower-case hexadecimal digits"
            )
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """That of this content."""
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    def hasher(self) -> hashlib._Hash:
        """Of the same algorithm, to be fed with content; its `hexdigest()` is to become `encoded`."""
        return hashlib.new(self.algorithm)

    def check(self, content: bytes, what: str) -> None:
        """Raises InvalidContent where `content`, which is said to be `what`, is something else."""
        found = Digest.of(content, self.algorithm)
        if found != self:
            raise InvalidContent(f"{what} is damaged: it should be {self} and is {found}")
