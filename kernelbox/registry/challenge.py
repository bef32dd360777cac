"""What a server wants to know before it answers: the `WWW-Authenticate` header (RFC 9110, 11.6.1; RFC 6750, 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kernelbox.oci.value import frozen

__all__ = ["Challenge", "parse"]

_LONGEST = 16 << 10
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[ \t,]*({_TOKEN})(?:[ \t]+|$)")
_PARAMETER = re.compile(rf'[ \t,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|$)')
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")


@frozen
class Challenge:
    """One way to say who one is: `scheme` in lower case ("bearer", "basic"), and what belongs to it."""

    scheme: str
    parameters: Mapping[str, str]

    def get(self, name: str) -> str:
        """ "" where it was not said."""
        return self.parameters.get(name, "")


def parse(header: str) -> tuple[Challenge, ...]:
    """The challenges of a header, in their order, up to where it makes no sense any more; none of one without end."""
    found: list[Challenge] = []
    at = 0
    text = header if len(header) <= _LONGEST else ""
    while scheme := _SCHEME.match(text, at):
        at = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(text, at):
            name, quoted, plain = parameter.groups()
            parameters.setdefault(name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
            at = parameter.end()
        if not parameters and (token := _TOKEN68.match(text, at)):
            at = token.end()
        found.append(Challenge(scheme[1].lower(), parameters))
    return tuple(found)
