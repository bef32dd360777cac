"""Who one is to a registry: what `docker login` has kept, in `config.json` ($DOCKER_CONFIG, or else ~/.docker) or with
one of Docker's credential helpers.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kernelbox.errors import InvalidContent, reason_of
from kernelbox.oci import reference
from kernelbox.registry import credential_helper

__all__ = ["Credentials", "Keyring", "config_path", "encoded", "key_of", "parse_config"]

_MOST_BYTES = 4 << 20
_TOKEN_USER = "<token>"
"""What a helper calls somebody who has an identity token in place of a password."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name with its password, or the token that stands for both. Neither shows in a repr."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Docker's file of this user; it need not be there."""
    folder = environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home(), ".docker")
    return Path(folder, "config.json")


def key_of(registry: str) -> str:
    """What Docker calls a registry in that file."""
    return reference.CREDENTIALS_KEY if registry == reference.DEFAULT_REGISTRY else registry


class Keyring:
    """Looks up who one is. Nothing is kept: a `login` elsewhere counts at once."""

    def __init__(self, path: Path | None = None, *, patience: float = credential_helper.PATIENCE_S) -> None:
        self._path = path
        self._patience = patience

    def of(self, registry: str) -> Credentials | None:
        """None for a registry that nobody has logged in to. Raises InvalidContent where the file makes no sense,
        RegistryError where the helper fails."""
        document = parse_config(self._path or config_path())
        key = key_of(registry)
        if helper := helper_of(document, key):
            found = credential_helper.get(helper, key, self._patience)
            if found is None:
                return None
            username, secret = found
            return Credentials(identity_token=secret) if username == _TOKEN_USER else Credentials(username, secret)
        for name, entry in document.get("auths", {}).items():
            if same_registry(name, key) and (credentials := _decoded(entry, name)):
                return credentials
        return None


def parse_config(path: Path) -> dict[str, Any]:
    """The file, as far as it is about credentials sound; empty where there is none. Raises InvalidContent."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidContent(f"could not read {path}: {reason_of(error)}") from error
    try:
        document = json.loads(content[:_MOST_BYTES] or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidContent(f"{path} is not JSON: {error}", hint="mend it, or move it away and log in again") from None
    wrong = not isinstance(document, dict) or not all(
        isinstance(document.get(key, {}), dict) for key in ("auths", "credHelpers")
    )
    if wrong or not isinstance(document.get("credsStore", ""), str):
        raise InvalidContent(f"{path} is not what Docker writes", hint="mend it, or move it away and log in again")
    return dict(document)


def helper_of(document: Mapping[str, Any], key: str) -> str:
    """The name of the program that keeps this registry's credentials; "" where the file does."""
    for name, helper in document.get("credHelpers", {}).items():
        if same_registry(name, key):
            return str(helper)
    return str(document.get("credsStore", ""))


def same_registry(name: str, key: str) -> bool:
    """Old files have URLs for names, and the default registry has had several."""
    return _host(name) == _host(key)


def _host(name: str) -> str:
    host = name
    if "://" in name:
        try:
            host = urlsplit(name).netloc
        except ValueError:
            return name
    host = host.partition("/")[0].lower()
    return reference.DEFAULT_REGISTRY if host in reference.DEFAULT_HOSTS else host


def encoded(credentials: Credentials) -> dict[str, str]:
    """An entry of `auths`."""
    text = f"{credentials.username}:{credentials.password}"
    entry = {"auth": base64.b64encode(text.encode()).decode()}
    return {**entry, "identitytoken": credentials.identity_token} if credentials.identity_token else entry


def _decoded(entry: object, name: str) -> Credentials | None:
    """Docker leaves an empty entry where a helper has the rest."""
    if not isinstance(entry, dict):
        raise InvalidContent(f"the entry of {name!r} in Docker's config.json is no object")
    token = entry.get("identitytoken") or ""
    username, password = entry.get("username") or "", entry.get("password") or ""
    if auth := entry.get("auth"):
        try:
            username, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, TypeError, ValueError):
            raise InvalidContent(f"the entry of {name!r} in Docker's config.json cannot be read") from None
    if not all(isinstance(each, str) for each in (token, username, password)):
        raise InvalidContent(f"the entry of {name!r} in Docker's config.json cannot be read")
    # An old quirk of Docker's: the password may end in zero bytes.
    found = Credentials(username, password.rstrip("\x00"), token)
    return found if token or username else None
