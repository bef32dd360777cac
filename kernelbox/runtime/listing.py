"""The containers that a monitor has and no state file knows: those that go when they end. It remembers of each what it
is, so that a start writes nothing for this."""

from __future__ import annotations

import fcntl
import os
from struct import Struct

from kernelbox.errors import MonitorError
from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.connection import Connection
from kernelbox.runtime.plan import request
from kernelbox.store.paths import StorePaths

__all__ = ["Listed", "is_alive", "listed"]

_LISTED = Struct("=32sQ")  # struct kb_listed


@frozen
class Listed:
    """`words` are those of its plan; `clock_ns`, since 1970, is when it was started."""

    token: bytes
    pid: int
    clock_ns: int
    words: bytes


def is_alive(paths: StorePaths) -> bool:
    """Whether the store has a monitor: it holds the store's lock for as long as it lives."""
    try:
        lock = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def listed(connection: Connection) -> list[Listed]:
    """The newest first. Raises MonitorError."""
    found: dict[bytes, Listed] = {}
    after, left = bytes(_LISTED.size - 8), 1
    while left:
        answer = connection.ask(request(lib.KB_LIST, token=after) + b"\0")
        if answer.error:
            raise MonitorError(f"the monitor does not list its containers: {os.strerror(answer.error).lower()}")
        before = len(found)
        for pid, entry in answer.record:
            token, clock_ns = _LISTED.unpack_from(entry)
            found[token] = Listed(token, pid, clock_ns, entry[_LISTED.size :])
            after = token
        left = answer.status if len(found) > before else 0  # the one to go on from may have gone: all came once more
    return sorted(found.values(), key=lambda each: each.clock_ns, reverse=True)
