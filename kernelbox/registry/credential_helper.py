"""Programs that keep credentials for Docker: `docker-credential-NAME get|store|erase`, JSON in and out.

A NAME comes from a file and becomes the name of a program, so it has no "/" in it. The program is run without a shell;
what it says and how long it takes is bounded.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import time

from kernelbox.errors import InvalidContent, RegistryError, reason_of

__all__ = ["PATIENCE_S", "erase", "get", "store"]

PATIENCE_S = 60.0
"""Some of them ask their user for a password."""
_MOST_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = "credentials not found"


def get(name: str, key: str, patience: float = PATIENCE_S) -> tuple[str, str] | None:
    """User and secret; None where the helper knows nothing of the registry `key`. Raises RegistryError."""
    status, answer = _run(name, "get", key, patience)
    if status:
        if _NOT_FOUND in answer.lower():
            return None
        raise _failed(name, "get", answer)
    try:
        document = json.loads(answer)
        user, secret = document["Username"], document["Secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RegistryError(f"docker-credential-{name} answers with something else than credentials") from None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise RegistryError(f"docker-credential-{name} answers with something else than credentials")
    return (user, secret) if user or secret else None


def store(name: str, key: str, user: str, secret: str, patience: float = PATIENCE_S) -> None:
    """Raises RegistryError."""
    status, answer = _run(name, "store", json.dumps({"ServerURL": key, "Username": user, "Secret": secret}), patience)
    if status:
        raise _failed(name, "store", answer)


def erase(name: str, key: str, patience: float = PATIENCE_S) -> None:
    """Nothing where it knows nothing of it. Raises RegistryError."""
    status, answer = _run(name, "erase", key, patience)
    if status and _NOT_FOUND not in answer.lower():
        raise _failed(name, "erase", answer)


def _run(name: str, verb: str, said: str, patience: float) -> tuple[int, str]:
    if not _NAME.fullmatch(name):
        raise InvalidContent(f"{name[:100]!r} in Docker's config.json is no name of a credential helper")
    program = f"docker-credential-{name}"
    try:
        running = subprocess.Popen(
            [program, verb], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        hint = f"install {program}, or take it out of Docker's config.json"
        raise RegistryError(f"could not run {program}: {reason_of(error)}", hint=hint) from error
    with running:
        try:
            answer = _talk(running, said.encode(), time.monotonic() + patience)
        except BaseException:
            running.kill()
            raise
        if answer is None:
            running.kill()
            raise RegistryError(f"{program} {verb} does not end, or says more than credentials are long")
    return running.returncode, answer.decode(errors="replace")


def _talk(running: subprocess.Popen[bytes], said: bytes, deadline: float) -> bytes | None:
    """What it says until it closes its output; None where that is too much or takes too long."""
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        running.stdin.write(said)  # less than a pipe holds, so this does not wait
        running.stdin.close()
    except BrokenPipeError:
        pass  # it has its own reasons, and says them
    answer = bytearray()
    while len(answer) <= _MOST_BYTES:
        ready, _, _ = select.select([running.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        piece = os.read(running.stdout.fileno(), 1 << 16)
        if not piece:
            return bytes(answer)
        answer += piece
    return None


def _failed(name: str, verb: str, answer: str) -> RegistryError:
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in answer[:200]).split())
    return RegistryError(f"docker-credential-{name} {verb} failed: {words or 'it does not say why'}")
