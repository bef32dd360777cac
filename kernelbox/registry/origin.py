"""Who is spoken to: the origin of a URL (RFC 6454), and where a registry may send us on to.

Credentials belong to one origin and go to no other. What is encrypted stays encrypted, and nobody elsewhere sends us to
this machine's own ports.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urljoin, urlsplit

from kernelbox.errors import RegistryError
from kernelbox.oci.value import frozen

__all__ = ["Origin", "follow", "is_loopback", "without_query"]

_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 16 << 10
"""Signed addresses of storage services have some two thousand characters."""


@frozen
class Origin:
    """Scheme, host and port; two URLs of one origin are answered by the same server."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    @property
    def loopback(self) -> bool:
        """Whether it is this machine itself."""
        return is_loopback(self.host)

    @property
    def inward(self) -> bool:
        """Whether only this machine, or its own network segment, can be meant, in whatever spelling: nobody elsewhere
        has a reason to send us there."""
        name = self.host.rstrip(".")
        address = _address(name)
        if address is None:
            return name == "localhost" or name.endswith(".localhost")
        return address.is_loopback or address.is_unspecified or address.is_link_local

    @classmethod
    def of(cls, url: str) -> Origin:
        """Raises RegistryError for what is no http or https URL, or has a user's name in it."""
        parts = _split(url)
        return cls(parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme])


def is_loopback(host: str) -> bool:
    """Whether the host, which may have a port behind it, is this machine by its name or by a loopback address."""
    try:
        name = urlsplit(f"//{host}" if host.count(":") < 2 or host.startswith("[") else f"//[{host}]").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def follow(url: str, location: str) -> str:
    """The URL that the answer from `url` means by its `Location`. Raises RegistryError for one that is not followed:
    from https to http, or from elsewhere to this machine."""
    target = urljoin(url, location)
    here, there = Origin.of(url), Origin.of(target)
    if here.scheme == "https" and there.scheme == "http":
        raise RegistryError(
            f"{here} sends us on to {there}, which is not encrypted: that is not followed",
            hint="a registry behind a proxy has to be told that it is reached by https",
        )
    if there.inward and not here.loopback:
        raise RegistryError(f"{here} sends us on to {there}, which is this machine: that is not followed")
    return target


def without_query(url: str) -> str:
    """For sentences: what follows the "?" may be a key."""
    return url.partition("?")[0][:200]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """As the system would read it, which takes "127.1", "0x7f000001" and "2130706433" for addresses too."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
        return getattr(found, "ipv4_mapped", None) or found
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError, ValueError):
        return None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    shown = without_query(url)
    if not usable or len(url) > _LONGEST_URL or any(letter <= " " or letter == "\x7f" for letter in url):
        raise RegistryError(f"{shown!r} is no address of a registry")
    if parts.username is not None or parts.password is not None:
        raise RegistryError(f"an address with a user's name in it is not followed: it begins with {parts.scheme}://")
    return parts
