"""`--network pasta` and `--network slirp4netns`: a way out for the containers of an ordinary user, who can make no
interface of the machine's. The words are podman's; the programs are packages of the distribution.

Neither lets the container reach the machine's loopback, or anybody reach the container.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
from pathlib import Path

from kernelbox.errors import NotSupported
from kernelbox.runtime.steps.outbound import NETNS_WORD

__all__ = ["DEVICE", "PACKAGES", "is_way_out", "name_servers", "program"]

PACKAGES = {"pasta": "passt", "slirp4netns": "slirp4netns"}
"""Debian's, by the program."""

DEVICE = "/dev/net/tun"

_ARGUMENTS = {
    # In the foreground it writes its number once all is set up; -t, -u, -T, -U: no port leads in, none out to a
    # loopback; --no-map-gw: nor does the gateway's address
    "pasta": (
        *("--config-net", "--foreground", "--quiet", "--pid", "/dev/stdout", "--tcp-ports", "none"),
        *("--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none", "--no-map-gw", "--no-netns-quit"),
        *("--netns", NETNS_WORD),
    ),
    "slirp4netns": (
        *("--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"),
        *("--ready-fd=1", "--netns-type=path", NETNS_WORD, "tap0"),
    ),
}
_FORWARDER = "10.0.2.3"
"""Where slirp4netns answers, from the machine's name servers."""
_RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_MOST_BYTES = 1 << 16


def is_way_out(network: str) -> bool:
    return network in PACKAGES


def program(network: str, *, rootless: bool) -> tuple[str, ...]:
    """Path and words of the program; empty where the network needs none. Raises NotSupported with what is missing."""
    if not is_way_out(network):
        return ()
    if not rootless:
        raise NotSupported(
            f"the network {network!r} is that of an ordinary user, and this is root", hint='"host" is the machine\'s'
        )
    path = shutil.which(network, path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")
    if not path:
        raise NotSupported(
            f"the network {network!r} needs the program {network}", hint=f"apt-get install {PACKAGES[network]}"
        )
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise NotSupported(
            f"the network {network!r} needs {DEVICE}, which this user cannot open", hint=f"chmod 666 {DEVICE}"
        )
    return (path, network, *_ARGUMENTS[network])  # passt is pasta by what it is called


def name_servers(network: str, files: tuple[Path, ...] = _RESOLVERS) -> str:
    """resolv.conf(5) for the container: those of the machine that it can reach, which its loopback's are not."""
    if network == "slirp4netns":
        return f"nameserver {_FORWARDER}\n"
    for file in files:
        servers = [line for line in _lines(file) if _is_elsewhere(line)]
        if servers:
            rest = [line for line in _lines(file) if line.split()[:1] in (["search"], ["options"])]
            return "".join(f"{line}\n" for line in (*servers, *rest))
    return "# no name server of the machine can be reached from here\n"


def _lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:  # not there, or not for us to read
        return []


def _is_elsewhere(line: str) -> bool:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver":
        return False
    try:
        return not ipaddress.ip_address(words[1].partition("%")[0]).is_loopback
    except ValueError:
        return False
