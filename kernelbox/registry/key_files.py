"""What a file of a public key is known by, without the library that could use the key: a start is not to load that."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from pathlib import Path

from kernelbox.errors import InvalidOption, reason_of

__all__ = ["fingerprint"]

_MOST_BYTES = 64 << 10
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END PUBLIC KEY-----")


def fingerprint(path: Path) -> str:
    """The SHA-256 of the key in DER (SubjectPublicKeyInfo, RFC 7468 section 13), the first in the file. Raises
    InvalidOption for what is none."""
    try:
        with path.open("rb") as file:
            found = _PUBLIC.search(file.read(_MOST_BYTES))
    except OSError as error:
        raise InvalidOption(f"could not read the key {path}: {reason_of(error)}") from error
    try:
        der = base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""
    except (binascii.Error, ValueError):
        der = b""
    if not der:
        raise InvalidOption(f"{path} is no public key in PEM", hint="verifying takes the file that ends in .pub")
    return hashlib.sha256(der).hexdigest()
