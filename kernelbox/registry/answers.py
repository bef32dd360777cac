"""What a registry means by a status that is not the one hoped for, as one of our errors.

The body may say it in the words of the distribution specification ("Error Codes"); it may also be anything else, and
goes to a terminal, so only a line of readable characters is taken from it.
"""

from __future__ import annotations

import json

from kernelbox.errors import BlobNotFound, ImageNotFound, KernelBoxError, RegistryError, Unauthorized
from kernelbox.oci import reference
from kernelbox.registry.origin import Origin
from kernelbox.registry.retry import PASSING_STATUSES, Passing, seconds_asked
from kernelbox.registry.transport import Response

__all__ = ["error_of", "login_hint", "readable"]

_MOST_BYTES = 64 << 10
_NOT_FOUND = {"MANIFEST_UNKNOWN": ImageNotFound, "NAME_UNKNOWN": ImageNotFound, "BLOB_UNKNOWN": BlobNotFound}


def error_of(
    response: Response, what: str, missing: type[KernelBoxError] = RegistryError, registry: str = ""
) -> KernelBoxError:
    """To be raised; the response is closed. `what` is what could not be done ("pull lab/tool:1"), `missing` what a 404
    means where the body does not say it, `registry` whom to log in to."""
    status, origin = response.status, Origin.of(response.url)
    with response:
        code, words = _said(response)
    sentence = f"could not {what}: {origin} says {words or f'HTTP status {status}'}"
    if status in PASSING_STATUSES:
        wait = seconds_asked(response.header("Retry-After"))
        asked = f", and to wait for {wait:.0f} s" if wait else ""
        return Passing(sentence + asked, http_status=status, code=code, wait=wait)
    if status == 401:
        return Unauthorized(sentence, hint=login_hint(registry), http_status=status, code=code)
    if status == 403:
        return Unauthorized(sentence, hint="this account may not do it", http_status=status, code=code)
    if status == 404:
        kind = _NOT_FOUND.get(code, missing)
        if not issubclass(kind, RegistryError):
            return kind(sentence)
    return RegistryError(sentence, http_status=status, code=code)


def login_hint(registry: str, again: bool = False) -> str:
    """What to do about it: the default registry need not be named."""
    name = "" if registry == reference.DEFAULT_REGISTRY else f" {registry}"
    return f"log in{' again' if again else ''}: kernelbox login{name}".rstrip()


def readable(text: str, most: int = 200) -> str:
    """One line of it, without what a terminal would take for commands."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * most]).split())[:most]


def _said(response: Response) -> tuple[str, str]:
    """The code and the message of the first error in the body, as far as there is one."""
    if response.media_type == "text/html":
        return "", f"something with a web page, as no registry does (HTTP status {response.status})"
    try:
        document = json.loads(response.read(_MOST_BYTES))
        first = document["errors"][0]
        code, message = first.get("code", ""), first.get("message", "")
    except (RegistryError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""
    code = readable(code, 60) if isinstance(code, str) else ""
    message = readable(message) if isinstance(message, str) else ""
    return code, f"{message or code} (HTTP status {response.status})" if message or code else ""
