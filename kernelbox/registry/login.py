"""`login` and `logout`: credentials into Docker's config.json, or to the helper that it names, and out again.

Everything else in the file stays. It is written to a name beside it, closed to others, and renamed; two logins at once
take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kernelbox.errors import RegistryError, reason_of
from kernelbox.registry import credential_helper
from kernelbox.registry.configuration import Configuration
from kernelbox.registry.credentials import (
    Credentials,
    config_path,
    encoded,
    helper_of,
    key_of,
    parse_config,
    same_registry,
)

__all__ = ["forget", "keep", "login"]


def login(
    registry: str, credentials: Credentials, settings: Configuration | None = None, path: Path | None = None
) -> str:
    """Asks the registry whether it lets them in, and remembers them then: see `keep`. Raises Unauthorized."""
    from kernelbox.registry.client import Client  # with the library that speaks HTTP, which the rest does without

    with Client(settings, credentials=lambda name: credentials if name == registry else None) as client:
        client.check_login(registry)
    return keep(registry, credentials, path)


def keep(registry: str, credentials: Credentials, path: Path | None = None) -> str:
    """Remembers who one is to `registry`; nothing is asked of it. Where that is kept now: a path, or the name of a
    program. Raises InvalidContent where the file makes no sense (it stays as it is), RegistryError."""
    place = Path(os.path.realpath(path or config_path()))  # a link stays one
    key = key_of(registry)
    with _changing(place) as document:
        auths = document.setdefault("auths", {})
        for name in [name for name in auths if same_registry(name, key)]:
            del auths[name]
        if helper := helper_of(document, key):
            token = credentials.identity_token
            credential_helper.store(
                helper, key, "<token>" if token else credentials.username, token or credentials.password
            )
            auths[key] = {}  # as Docker leaves a mark that there is something
            return f"docker-credential-{helper}"
        auths[key] = encoded(credentials)
    return str(place)


def forget(registry: str, path: Path | None = None) -> bool:
    """Whether there was something to forget. Raises as `keep`."""
    place = Path(os.path.realpath(path or config_path()))
    key = key_of(registry)
    if not place.exists():
        return False
    with _changing(place) as document:
        auths = document.get("auths", {})
        had = [name for name in auths if same_registry(name, key)]
        for name in had:
            del auths[name]
        if helper := helper_of(document, key):
            known = credential_helper.get(helper, key) is not None
            if known:
                credential_helper.erase(helper, key)
            return known or bool(had)
    return bool(had)


@contextlib.contextmanager
def _changing(place: Path) -> Iterator[dict[str, Any]]:
    """The document, written back when the block ends, or left as it is where the block raises."""
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            document = parse_config(place)
            before = json.dumps(document)
            yield document
            if json.dumps(document) != before:
                _write(place, folder, json.dumps(document, indent="\t").encode() + b"\n")
        finally:
            os.close(folder)
    except OSError as error:
        raise RegistryError(f"could not write {place}: {reason_of(error)}") from error


def _write(place: Path, folder: int, content: bytes) -> None:
    beside = f".{place.name}-{secrets.token_hex(8)}"
    try:
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(file, "wb") as output:
            output.write(content)
            output.flush()
            os.fsync(output.fileno())
        os.rename(beside, place.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=folder)
        raise
