"""Who may do what: names and passwords as htpasswd(1) writes them (bcrypt only), and a file of rights.

The file of rights has a line for each right:

    # who      may               in these repositories
    alice      pull,push,delete  team/**
    *          pull              **
    anyone     pull              public/*

`*` is everybody with a password, `anyone` those without one too; in a repository's name `*` is any part of one word
between slashes, `**` anything. `all` is every right. Without the file everybody with a password may do everything,
without passwords anybody. Both files are read again when they change.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

from kernelbox.errors import InvalidOption, reason_of
from kernelbox.oci.value import frozen
from kernelbox.registry.server.failures import refusal

__all__ = ["RIGHTS", "Access", "Rule", "read_passwords", "read_rights"]

RIGHTS = frozenset({"pull", "push", "delete"})
ANYONE, EVERYBODY = "anyone", "*"

_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 16)
"""Of bcrypt, which doubles its time with each: 15 is some two seconds."""

_MOST_BYTES = 1 << 20
_CHECKED_AT_ONCE = 2
_MOST_REMEMBERED = 1024
_MOST_HASHED = 72
"""Bytes of a password that bcrypt takes; it has never looked at more."""

_NOBODY = "$2b$10$qcYj2Jcqt9JN0QxCK3wdquATmP0jgCt8pUaFb6ldiFhd5o0t0RzVe"
"""What the password of a name that there is not is checked with where there are no names at all; else with another's,
so that it takes as long."""


@frozen
class Rule:
    who: str
    rights: frozenset[str]
    repositories: re.Pattern[str]


class Access:
    """Of one server. Raises InvalidOption for files that cannot be read or understood, also while it runs."""

    def __init__(self, passwords: Path | None = None, rights: Path | None = None) -> None:
        self._passwords: _Watched[dict[str, str]] = _Watched(passwords, read_passwords, {})
        self._rights = _Watched(rights, read_rights, _default_rules(passwords is not None))
        self._right_ones: OrderedDict[bytes, None] = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._checking = asyncio.Semaphore(_CHECKED_AT_ONCE)
        self._closed = passwords is not None
        self.check()

    @property
    def asks_for_passwords(self) -> bool:
        return self._closed

    def check(self) -> None:
        """Raises InvalidOption where one of the files is wrong."""
        self._passwords.read()
        self._rights.read()

    def may(self, user: str | None, right: str, repository: str) -> bool:
        """`user` is None for somebody who has not said who they are."""
        return any(
            right in rule.rights and rule.repositories.fullmatch(repository)
            for rule in self._rights.read()
            if rule.who == ANYONE or (user is not None and rule.who in (EVERYBODY, user))
        )

    async def user_of(self, authorization: str | None) -> str | None:
        """Who asks, by the header of that name; None for somebody who does not say so. Raises the refusal UNAUTHORIZED
        for a password that is wrong, or anything else than one."""
        if authorization is None or not self._closed:
            return None
        user, password = _credentials(authorization)
        known = self._passwords.read()
        wanted = known.get(user)
        seal = hmac.digest(self._key, f"{wanted}\0{user}\0".encode() + password, "sha256")
        if seal in self._right_ones:
            self._right_ones.move_to_end(seal)
            return user
        async with self._checking:
            right = await asyncio.to_thread(_is_right, password, wanted or next(iter(known.values()), _NOBODY))
        if wanted is None or not right:
            raise refusal("UNAUTHORIZED", "no such user, or another password")
        self._right_ones[seal] = None
        while len(self._right_ones) > _MOST_REMEMBERED:
            self._right_ones.popitem(last=False)
        return user


T = TypeVar("T")


class _Watched(Generic[T]):
    """What a file says; it is read again when it has changed. Without a file, `otherwise`."""

    def __init__(self, path: Path | None, parse: Callable[[str, str], T], otherwise: T) -> None:
        self._path = path
        self._parse = parse
        self._seen: tuple[int, ...] = ()
        self._value = otherwise

    def read(self) -> T:
        """Raises InvalidOption."""
        if self._path is None:
            return self._value
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._value = self._parse(self._text(), str(self._path))
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8"
            raise InvalidOption(f"could not read {self._path}: {reason}") from error
        return self._value

    def _text(self) -> str:
        assert self._path is not None
        with open(self._path, encoding="utf-8") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise InvalidOption(f"{self._path} is longer than {_MOST_BYTES >> 20} MiB")
        return text


def read_passwords(text: str, where: str) -> dict[str, str]:
    """The lines of an htpasswd file: names, and what bcrypt made of their passwords. Raises InvalidOption."""
    found = {}
    for number, line in _lines(text):
        user, colon, made = line.partition(":")
        hashed = _HASH.fullmatch(made)
        if not colon or not user or not hashed or int(hashed[1]) not in _COSTS:
            raise InvalidOption(
                f"{where}, line {number}: expected a name, a colon and a password hashed by bcrypt",
                hint="htpasswd -B makes such lines",
            )
        found[user] = made
    return found


def read_rights(text: str, where: str) -> tuple[Rule, ...]:
    """The lines of a file of rights. Raises InvalidOption."""
    return tuple(_rule(line, f"{where}, line {number}") for number, line in _lines(text))


def _rule(line: str, where: str) -> Rule:
    words = line.split()
    if len(words) != 3:
        raise InvalidOption(f"{where}: expected three words", hint="alice pull,push team/**")
    who, said, pattern = words
    rights = RIGHTS if said == "all" else frozenset(said.split(","))
    if unknown := rights - RIGHTS:
        raise InvalidOption(f"{where}: {sorted(unknown)[0]!r} is no right", hint="pull, push and delete are, and all")
    parts = re.split(r"(\*\*?)", pattern)
    expression = "".join({"*": "[^/]*", "**": ".*"}.get(part, re.escape(part)) for part in parts)
    return Rule(who, rights, re.compile(expression))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if (stripped := line.strip()) and not stripped.startswith("#"):
            yield number, stripped


def _default_rules(closed: bool) -> tuple[Rule, ...]:
    return (Rule(EVERYBODY if closed else ANYONE, RIGHTS, re.compile(".*")),)


def _credentials(authorization: str) -> tuple[str, bytes]:
    """Of RFC 7617. Raises the refusal UNAUTHORIZED for any other scheme: this registry gives no tokens, so none can be
    right."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        if not colon or b"\0" in password:
            raise ValueError
        return name.decode(), password
    except (ValueError, binascii.Error):
        raise refusal("UNAUTHORIZED", "a name and a password are asked for (Basic), and nothing else") from None


def _is_right(password: bytes, hashed: str) -> bool:
    import bcrypt

    return bcrypt.checkpw(password[:_MOST_HASHED], hashed.encode())
