"""`kernelbox registry serve`, `collect`, `ls`, `tags` and `rm`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernelbox.cli.caller import note
from kernelbox.cli.tables import human_size
from kernelbox.cli.verbs import Given, for_each
from kernelbox.errors import InvalidOption
from kernelbox.oci import reference
from kernelbox.oci.units import parse_duration
from kernelbox.store.paths import StorePaths

if TYPE_CHECKING:
    from kernelbox.registry.server.serving import Running

__all__ = ["collect", "ls", "remove", "serve", "tags"]

_ONLY_HERE = ("http://127.", "http://[::1]", "http://localhost", "https:")


def serve(given: Given) -> int:
    """Until it is told to end. Prints where it can be reached."""
    from kernelbox.registry.server import serving

    settings = serving.Settings(
        certificate=_file(given, "tls_cert"),
        key=_file(given, "tls_key"),
        passwords=_file(given, "htpasswd"),
        rights=_file(given, "rights"),
        read_only=given.flag("read_only"),
        collect_every_s=_seconds(given, "collect_every", "0"),
        kept_s=_seconds(given, "keep", "1h"),
        untagged=given.flag("untagged"),
        cache_of=given.text("cache_of"),
        shared=StorePaths.of().blobs if given.flag("share") else None,
    )

    def say_where(running: Running) -> None:
        sys.stdout.write(f"{running.url} serves {running.storage}\n")
        sys.stdout.flush()
        if not running.url.startswith(_ONLY_HERE):
            note("passwords and images can be read and changed on their way", "--tls-cert and --tls-key prevent that")

    serving.serve(given.text("listen", "127.0.0.1:5000"), _storage(given), settings, say_where)
    return 0


def collect(given: Given) -> int:
    """Prints what has gone."""
    from kernelbox.registry.server import collect as collecting
    from kernelbox.registry.server.storage import Storage

    folder = _storage(given)
    if not folder.is_dir():
        raise InvalidOption(f"there is no folder {folder}", hint="--storage is that of the server")
    with Storage(folder) as storage:
        done = collecting.collect(storage, kept_s=_seconds(given, "keep", "1h"), untagged=given.flag("untagged"))
    sys.stdout.write(
        f"Removed {done.blobs} blobs, {done.manifests} manifests and {done.uploads} uploads\n"
        f"Total reclaimed space: {human_size(done.size, 4)}\n"
    )
    return 0


def ls(given: Given) -> int:
    """As they can be pulled from there, each on a line."""
    from kernelbox.registry.client import Client

    registry = given.words[0]
    if not reference.is_registry(registry):
        raise InvalidOption(f"{registry[:100]!r} is no registry", hint="a host, and perhaps a port: localhost:5000")
    with Client() as client:
        for name in client.catalog(registry):
            sys.stdout.write(f"{registry}/{name}\n")
    return 0


def tags(given: Given) -> int:
    from kernelbox.registry.client import Client

    with Client() as client:
        for tag in client.tags(reference.parse(given.words[0])):
            sys.stdout.write(f"{tag}\n")
    return 0


def remove(given: Given) -> int:
    """What is to go has to be said: nothing is removed because it is called latest."""
    from kernelbox.registry.client import Client

    with Client() as client:

        def forget(name: str) -> str:
            if "@" not in name and ":" not in name.rpartition("/")[2]:
                raise InvalidOption(f"{name}: which tag, or which digest?", hint=f"{name}:latest, for example")
            client.delete(reference.parse(name))
            return name

        return for_each(given.words, forget)


def _storage(given: Given) -> Path:
    said = given.text("storage")
    return Path(os.path.abspath(said)) if said else StorePaths.of().root / "registry"


def _file(given: Given, name: str) -> Path | None:
    return Path(given.text(name)) if given.text(name) else None


def _seconds(given: Given, name: str, otherwise: str) -> float:
    try:
        return parse_duration(given.text(name, otherwise))
    except InvalidOption as error:
        raise InvalidOption(f"--{name.replace('_', '-')}: {error.message}", hint=error.hint) from None
