"""Ports as Docker's API and its filters write them."""

from __future__ import annotations

from collections.abc import Iterable

from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen

__all__ = ["Port", "port_map", "port_range"]

PROTOCOLS = ("tcp", "udp", "sctp")


@frozen
class Port:
    """A port of a container; with `public` it is published there, on the machine's address `ip`."""

    private: int
    protocol: str = "tcp"
    public: int = 0
    ip: str = ""

    def summary(self) -> dict[str, object]:
        """As a list of containers has it."""
        published = {"IP": self.ip, "PublicPort": self.public} if self.public else {}
        return {**published, "PrivatePort": self.private, "Type": self.protocol}


def port_map(ports: Iterable[Port]) -> dict[str, list[dict[str, str]] | None]:
    """As a container's details have it: None for a port that is exposed and not published."""
    found: dict[str, list[dict[str, str]] | None] = {}
    for port in ports:
        key = f"{port.private}/{port.protocol}"
        bindings = found.setdefault(key, None)
        if port.public:
            found[key] = [*(bindings or ()), {"HostIp": port.ip, "HostPort": str(port.public)}]
    return found


def port_range(text: str) -> tuple[range, str]:
    """ "80", "80/udp", "8000-8010/tcp": the numbers and the protocol. Raises InvalidOption."""
    numbers, slash, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    ends = (first, last if dash else first)
    if not all(end.isascii() and end.isdecimal() and 0 < len(end) <= 5 and 0 < int(end) < 65_536 for end in ends):
        raise InvalidOption(f"{text!r} is not a port", hint="like 80, 53/udp or 8000-8010/tcp")
    if slash and protocol.lower() not in PROTOCOLS:
        raise InvalidOption(f"{text!r}: {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    if int(ends[0]) > int(ends[1]):
        raise InvalidOption(f"{text!r} ends before it begins")
    return range(int(ends[0]), int(ends[1]) + 1), protocol.lower() or "tcp"
