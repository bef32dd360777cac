"""How registries are reached on this machine: mirrors, and which need no encryption. A file and the environment say it.

    # $XDG_CONFIG_HOME/kernelbox/registries.toml, or else /etc/kernelbox/registries.toml
    [registry."images.example:5000"]
    insecure = true                                # plain http, or a certificate that nobody vouches for
    mirrors = ["https://mirror.example", "http://127.0.0.1:5000/cache"]
    ca = "/etc/ssl/lab.pem"                        # who vouches for the certificate of the registry and its mirrors
    upload_chunk = "64m"                           # larger content goes up in pieces of this size

KERNELBOX_INSECURE_REGISTRIES="a.example:5000,b.example" adds to the insecure ones, KERNELBOX_REGISTRY_MIRRORS=
"a.example=https://mirror.example,..." puts mirrors before those of the file. KERNELBOX_REGISTRIES names another file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from urllib.parse import urlsplit

from kernelbox.errors import InvalidOption, reason_of
from kernelbox.oci import reference
from kernelbox.oci.units import parse_size
from kernelbox.oci.value import frozen

__all__ = ["Configuration", "RegistrySettings", "load", "read"]

_MOST_BYTES = 1 << 20
_LEAST_CHUNK = 1 << 20
_HINT = "a host, and perhaps a port: images.example:5000"


@frozen
class RegistrySettings:
    """Of one registry. `mirrors` are URLs, asked in this order before the registry itself, for what is pulled;
    `upload_chunk` in bytes, 0 for as it comes."""

    insecure: bool = False
    mirrors: tuple[str, ...] = ()
    ca: str = ""
    upload_chunk: int = 0


@frozen
class Configuration:
    """`registries` by the name that references have for each."""

    registries: Mapping[str, RegistrySettings] = field(default_factory=dict)

    def of(self, registry: str) -> RegistrySettings:
        return self.registries.get(registry) or RegistrySettings()


def load(
    environ: Mapping[str, str] = os.environ, machine: Path = Path("/etc/kernelbox/registries.toml")
) -> Configuration:
    """What holds for this user: their file, or else the machine's, and the environment. Raises InvalidOption."""
    found: dict[str, RegistrySettings] = {}
    for path in _files(environ, machine):
        if path.is_file():
            found = dict(read(path).registries)
            break
    for name in _words(environ.get("KERNELBOX_INSECURE_REGISTRIES", "")):
        _check_name(name, "KERNELBOX_INSECURE_REGISTRIES")
        had = found.get(name) or RegistrySettings()
        found[name] = RegistrySettings(True, had.mirrors, had.ca, had.upload_chunk)
    for name, mirrors in _mirrors_said(environ.get("KERNELBOX_REGISTRY_MIRRORS", "")).items():
        had = found.get(name) or RegistrySettings()
        found[name] = RegistrySettings(had.insecure, (*mirrors, *had.mirrors), had.ca, had.upload_chunk)
    return Configuration(found)


def read(path: Path) -> Configuration:
    """A file. Raises InvalidOption, which names the place in it."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InvalidOption(f"{path} is longer than a configuration can be")
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise InvalidOption(f"could not read {path}: {reason_of(error)}") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise InvalidOption(f"{path} is not TOML: {error}") from None
    _no_others(document, {"registry"}, str(path))
    tables = document.get("registry", {})
    if not isinstance(tables, dict):
        raise _wrong(f"{path}: registry", 'a table for each: [registry."images.example"]')
    return Configuration({name: _settings(name, table, f"{path}: registry.{name}") for name, table in tables.items()})


def _files(environ: Mapping[str, str], machine: Path) -> tuple[Path, ...]:
    if chosen := environ.get("KERNELBOX_REGISTRIES"):
        if not Path(chosen).is_file():
            raise InvalidOption(f"KERNELBOX_REGISTRIES names {chosen}, and there is no such file")
        return (Path(chosen),)
    home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or Path.home(), ".config")
    return Path(home, "kernelbox/registries.toml"), machine


def _settings(name: str, table: object, where: str) -> RegistrySettings:
    _check_name(name, where)
    if not isinstance(table, dict):
        raise _wrong(where, f'a table: [registry."{name}"]')
    _no_others(table, {"insecure", "mirrors", "ca", "upload_chunk"}, where)
    insecure, ca, mirrors = table.get("insecure", False), table.get("ca", ""), table.get("mirrors", [])
    if not isinstance(insecure, bool):
        raise _wrong(f"{where}.insecure", "true or false")
    if not isinstance(ca, str) or (ca and not Path(ca).is_absolute()):
        raise _wrong(f"{where}.ca", "the whole path of a file")
    if not isinstance(mirrors, list):
        raise _wrong(f"{where}.mirrors", "a list of URLs")
    for each in mirrors:
        _check_mirror(each, f"{where}.mirrors")
    return RegistrySettings(insecure, tuple(mirrors), ca, _chunk(table.get("upload_chunk", 0), f"{where}.upload_chunk"))


def _chunk(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _wrong(where, 'a size: "64m"')
    size = parse_size(value)
    if 0 < size < _LEAST_CHUNK:
        raise InvalidOption(f"{where}: pieces of {size} bytes are too small", hint="1m is the least")
    return size


def _check_name(name: str, where: str) -> None:
    if not reference.is_registry(name):
        raise InvalidOption(f"{where}: {name[:100]!r} is no registry", hint=_HINT)


def _check_mirror(url: object, where: str) -> None:
    hint = "https://mirror.example:5000, for example"
    if not isinstance(url, str):
        raise _wrong(where, "a list of URLs")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and reference.is_registry(parts.netloc)
    except ValueError:
        good = False
    path = parts.path.strip("/") if good else ""
    if not good or parts.query or parts.fragment or (path and not reference.is_repository(path)):
        raise InvalidOption(f"{where}: {url[:100]!r} is no address of a mirror", hint=hint)


def _mirrors_said(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for word in _words(text):
        name, equals, url = word.partition("=")
        if not equals:
            raise InvalidOption(
                f"KERNELBOX_REGISTRY_MIRRORS: {word[:100]!r} does not say whose mirror it is", hint="NAME=URL,NAME=URL"
            )
        _check_name(name, "KERNELBOX_REGISTRY_MIRRORS")
        _check_mirror(url, "KERNELBOX_REGISTRY_MIRRORS")
        found[name] = (*found.get(name, ()), url)
    return found


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _no_others(table: Mapping[str, object], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise InvalidOption(f"{where}: unknown key {key[:60]!r}", hint="one of " + ", ".join(sorted(known)))


def _wrong(where: str, expected: str) -> InvalidOption:
    return InvalidOption(f"{where}: expected {expected}")
