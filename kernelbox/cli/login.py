"""`kernelbox login` and `logout`."""

from __future__ import annotations

import getpass
import sys

from kernelbox.cli.caller import note
from kernelbox.cli.verbs import Given
from kernelbox.errors import InvalidOption, Unauthorized
from kernelbox.oci import reference
from kernelbox.registry import login as logins
from kernelbox.registry.client import Client
from kernelbox.registry.credentials import Credentials, Keyring

__all__ = ["login", "logout"]

_LONGEST = 64 << 10
"""Bytes of a password, or of a token that stands in its place."""


def login(given: Given) -> int:
    """Asks the registry first; what it does not let in is not kept."""
    registry = _registry(given)
    if not given.text("username") and not given.flag("password_stdin"):
        known = Keyring().of(registry)
        if known is not None:
            sys.stderr.write("Authenticating with existing credentials...\n")
            try:
                return _logged_in(registry, known)
            except Unauthorized as error:
                note(error.message)
    return _logged_in(registry, _credentials(given))


def logout(given: Given) -> int:
    """It is no failure that nobody was logged in."""
    registry = _registry(given)
    what = "Removing login credentials for" if logins.forget(registry) else "Not logged in to"
    sys.stdout.write(f"{what} {registry}\n")
    return 0


def _logged_in(registry: str, credentials: Credentials) -> int:
    with Client(credentials=lambda _: credentials) as client:
        client.check_login(registry)
    place = logins.keep(registry, credentials)
    if "/" in place:
        note(f"the password is in {place}, and not encrypted", hint="a credential helper keeps it safer: credsStore")
    sys.stdout.write("Login Succeeded\n")
    return 0


def _credentials(given: Given) -> Credentials:
    """Those that are said, or typed at the terminal. Raises InvalidOption."""
    user = given.text("username")
    if given.flag("password_stdin"):
        if not user:
            raise InvalidOption(
                "--password-stdin needs --username too", hint="kernelbox login -u NAME --password-stdin"
            )
        return Credentials(user, _checked(sys.stdin.read(_LONGEST + 1).removesuffix("\n").removesuffix("\r")))
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidOption(
            "a password is asked for at a terminal, and standard input is none",
            hint="kernelbox login -u NAME --password-stdin < FILE",
        )
    if not user:
        sys.stderr.write("Username: ")
        sys.stderr.flush()
        user = sys.stdin.readline().strip()
    if not user:
        raise InvalidOption("no name was given")
    return Credentials(user, _checked(getpass.getpass("Password: ", sys.stderr)))


def _checked(password: str) -> str:
    if not password:
        raise InvalidOption("no password was given")
    if len(password) > _LONGEST:
        raise InvalidOption(f"a password has at most {_LONGEST} bytes")
    return password


def _registry(given: Given) -> str:
    """As references have it, however it was typed: as a URL too. Raises InvalidOption."""
    if not given.words:
        return reference.DEFAULT_REGISTRY
    typed = given.words[0]
    name = typed.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if name in reference.DEFAULT_HOSTS:
        return reference.DEFAULT_REGISTRY
    if not reference.is_registry(name):
        raise InvalidOption(f"{typed[:100]!r} is no registry", hint="a host, and perhaps a port: localhost:5000")
    return name
