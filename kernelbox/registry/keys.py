"""Keys that images are signed with: ECDSA on P-256, in PEM files. The private one is PKCS #8 (RFC 5958), encrypted if
there is a passphrase; the public one, which others verify with, lies beside it (RFC 5480)."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kernelbox.errors import Conflict, InvalidOption, reason_of

__all__ = ["PASSWORD", "make", "new_passphrase", "private", "public"]

PASSWORD = "KERNELBOX_KEY_PASSWORD"
"""The variable with the passphrase of the private key. Empty: there is none."""

_MOST_BYTES = 64 << 10
_MAKE = "kernelbox image keygen FILE makes a pair of keys"


def make(path: Path, passphrase: str = "") -> Path:
    """Writes a new private key to `path`, for its owner alone, and its public key to `path` with ".pub", which is
    returned. Raises Conflict where one of them is there, InvalidOption where it cannot be written."""
    key = ec.generate_private_key(ec.SECP256R1())
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    beside = path.with_name(path.name + ".pub")
    if beside.exists():
        raise _there(beside)
    _write(path, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, lock), 0o600)
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    _write(beside, shown, 0o644)
    return beside


def private(path: Path, environ: Mapping[str, str] = os.environ) -> ec.EllipticCurvePrivateKey:
    """Raises InvalidOption for what is no private key of this kind, and for a wrong or missing passphrase."""
    raw = _read(path)
    key: object
    try:
        key = serialization.load_pem_private_key(raw, None)
    except TypeError:  # so says the library that it is encrypted
        key = _unlocked(path, raw, environ)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidOption(f"{path} is no private key in PEM (PKCS #8)", hint=_MAKE) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _other_kind(path)
    return key


def public(path: Path) -> ec.EllipticCurvePublicKey:
    """Raises InvalidOption for what is no public key of this kind."""
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        hint = "verifying takes the public key, whose file ends in .pub"
        raise InvalidOption(f"{path} is no public key in PEM", hint=hint) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _other_kind(path)
    return key


def new_passphrase(path: Path, environ: Mapping[str, str] = os.environ) -> str:
    """For a key that is to be made: that of KERNELBOX_KEY_PASSWORD, or what is typed at the terminal, twice; "" without
    either. Raises InvalidOption where the two differ."""
    if PASSWORD in environ:
        return environ[PASSWORD]
    if sys.stdin is None or not sys.stdin.isatty():
        return ""
    first = getpass.getpass(f"Passphrase for {path} (none: leave it empty): ", sys.stderr)
    if first and getpass.getpass("The same again: ", sys.stderr) != first:
        raise InvalidOption("the two passphrases differ", hint="nothing was written; try again")
    return first


def _unlocked(path: Path, raw: bytes, environ: Mapping[str, str]) -> object:
    passphrase = environ.get(PASSWORD, "")
    if not passphrase and sys.stdin is not None and sys.stdin.isatty():
        passphrase = getpass.getpass(f"Passphrase of {path}: ", sys.stderr)
    if not passphrase:
        raise InvalidOption(f"{path} is encrypted, and no passphrase was given", hint=f"put it in {PASSWORD}")
    try:
        return serialization.load_pem_private_key(raw, passphrase.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidOption(f"the passphrase does not open {path}", hint=f"is {PASSWORD} that of this key?") from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidOption(f"could not read the key {path}: {reason_of(error)}", hint=_MAKE) from error
    if len(raw) > _MOST_BYTES:
        raise InvalidOption(f"{path} is longer than a key can be")
    return raw


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        raise InvalidOption(f"could not write the key {path}: {reason_of(error)}") from error


def _there(path: Path) -> Conflict:
    return Conflict(
        f"{path} is there already", hint="a key that signed something is worth keeping: choose another name"
    )


def _other_kind(path: Path) -> InvalidOption:
    return InvalidOption(f"{path} is a key of another kind: ECDSA on the curve P-256 is needed", hint=_MAKE)
