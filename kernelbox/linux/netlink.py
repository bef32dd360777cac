"""rtnetlink: network interfaces, addresses and routes, set up by messages to the kernel (netlink(7), rtnetlink(7)).

A message is a header, a small struct and attributes (type, length, value), which may nest. Several go in one send, and
each is acknowledged with 0 or an error; a "dump" is answered by a list. The functions here build messages as bytes,
which a launch plan carries; `Netlink` is a socket to send them with.

    >>> from kernelbox.linux import netlink
    >>> with netlink.Netlink() as socket:
    ...     [(link.name, link.up) for link in socket.links()]          # doctest: +SKIP
    [('lo', True), ('eth0', True)]
    ...     socket.request(netlink.bridge("br0") + netlink.link_up_by_name("br0"))       # as root
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from kernelbox.errors import InvalidOption, KernelError
from kernelbox.linux.descriptor import Closing
from kernelbox.native import lib

__all__ = [
    "Address",
    "Link",
    "Netlink",
    "add_address",
    "add_route",
    "addresses_dump",
    "bridge",
    "delete_address",
    "delete_link",
    "link_down",
    "link_up",
    "link_up_by_name",
    "links_dump",
    "parse_addresses",
    "parse_links",
    "set_master",
    "veth",
]

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct(
    "=BBBBBBBBI"
)  # struct rtmsg: family, two prefix lengths, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_STATS64 = struct.Struct("=8Q")  # the beginning of struct rtnl_link_stats64

_NAME_LENGTH = 15  # IFNAMSIZ without the NUL


# -- messages --------------------------------------------------------------------------------------------------------


def _message(kind: int, flags: int, body: bytes) -> bytes:
    head = _HEADER.pack(_HEADER.size + len(body), kind, lib.NLM_F_REQUEST | flags, 0, 0)
    return head + body


def _request(kind: int, body: bytes, flags: int = 0) -> bytes:
    return _message(kind, lib.NLM_F_ACK | flags, body)


def _attribute(kind: int, value: bytes | str | int) -> bytes:
    """One attribute, padded to four bytes: bytes as they are, text with its NUL, a number as 32 bits."""
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, *inside: bytes) -> bytes:
    return _attribute(kind, b"".join(inside))


def _name(name: str) -> bytes:
    if (
        not 0 < len(name.encode()) <= _NAME_LENGTH
        or any(letter in "/: \t\n\0" for letter in name)
        or name in (".", "..")
    ):
        raise InvalidOption(f"{name!r} cannot be the name of a network interface")
    return _attribute(lib.IFLA_IFNAME, name)


def link_up(index: int) -> bytes:
    """Bring an interface up; the loopback interface has index 1 in every network namespace."""
    return _request(lib.RTM_NEWLINK, _LINK.pack(lib.AF_UNSPEC, 0, index, lib.IFF_UP, lib.IFF_UP))


def link_up_by_name(name: str) -> bytes:
    """The same for an interface that has just been made, whose index is not known."""
    return _request(lib.RTM_NEWLINK, _LINK.pack(lib.AF_UNSPEC, 0, 0, lib.IFF_UP, lib.IFF_UP) + _name(name))


def link_down(index: int) -> bytes:
    """Take an interface down."""
    return _request(lib.RTM_NEWLINK, _LINK.pack(lib.AF_UNSPEC, 0, index, 0, lib.IFF_UP))


def set_master(index: int, master: int) -> bytes:
    """Make an interface a port of the bridge with index `master`; 0 takes it out."""
    body = _LINK.pack(lib.AF_UNSPEC, 0, index, 0, 0) + _attribute(lib.IFLA_MASTER, master)
    return _request(lib.RTM_NEWLINK, body)


def bridge(name: str) -> bytes:
    """Make a bridge, which is down."""
    info = _nested(lib.IFLA_LINKINFO, _attribute(lib.IFLA_INFO_KIND, "bridge"))
    return _create(_LINK.pack(lib.AF_UNSPEC, 0, 0, 0, 0) + _name(name) + info)


def veth(
    name: str,
    peer: str,
    *,
    peer_netns: int | None = None,
    peer_index: int = 0,
    master: int = 0,
    mtu: int = 0,
    group: int = 0,
    up: bool = False,
) -> bytes:
    """Make a pair of interfaces: what goes into one comes out of the other.

    `peer_netns` is a descriptor of the network namespace that the peer is made in; `master` a bridge for `name`,
    `group` a number by which many can be deleted at once. Only `name` can be made `up`: the peer has to be by
    itself."""
    flags = lib.IFF_UP if up else 0
    single_queue = _attribute(lib.IFLA_NUM_TX_QUEUES, 1) + _attribute(lib.IFLA_NUM_RX_QUEUES, 1)
    options = _attribute(lib.IFLA_MTU, mtu) if mtu else b""
    other = _LINK.pack(lib.AF_UNSPEC, 0, peer_index, 0, 0) + _name(peer) + single_queue + options
    if peer_netns is not None:
        other += _attribute(lib.IFLA_NET_NS_FD, peer_netns)
    data = _nested(lib.IFLA_INFO_DATA, _nested(lib.VETH_INFO_PEER, other))
    info = _nested(lib.IFLA_LINKINFO, _attribute(lib.IFLA_INFO_KIND, "veth"), data)
    if master:
        options += _attribute(lib.IFLA_MASTER, master)
    if group:
        options += _attribute(lib.IFLA_GROUP, group)
    return _create(_LINK.pack(lib.AF_UNSPEC, 0, 0, flags, flags) + _name(name) + single_queue + options + info)


def _create(body: bytes) -> bytes:
    return _request(lib.RTM_NEWLINK, body, lib.NLM_F_CREATE | lib.NLM_F_EXCL)


def delete_link(*, index: int = 0, name: str = "", group: int = 0) -> bytes:
    """Delete an interface, or all of a group at once (which is much faster than one by one)."""
    body = _LINK.pack(lib.AF_UNSPEC, 0, index, 0, 0)
    body += _name(name) if name else b""
    body += _attribute(lib.IFLA_GROUP, group) if group else b""
    return _request(lib.RTM_DELLINK, body)


def add_address(index: int, address: str) -> bytes:
    """Give an interface an address with its prefix, such as "10.0.0.2/24" or "fd00::2/64"."""
    return _request(lib.RTM_NEWADDR, _address(index, address), lib.NLM_F_CREATE | lib.NLM_F_REPLACE)


def delete_address(index: int, address: str) -> bytes:
    """Take an address from an interface."""
    return _request(lib.RTM_DELADDR, _address(index, address))


def _address(index: int, text: str) -> bytes:
    try:
        address = ipaddress.ip_interface(text)
    except ValueError as error:
        raise InvalidOption(f"{text!r} is not an address with its prefix", hint='write it as "10.0.0.2/24"') from error
    family = lib.AF_INET if address.version == 4 else lib.AF_INET6
    body = _ADDRESS.pack(family, address.network.prefixlen, 0, 0, index)
    return body + _attribute(lib.IFA_LOCAL, address.packed) + _attribute(lib.IFA_ADDRESS, address.packed)


def add_route(*, gateway: str | None = None, index: int = 0, destination: str | None = None) -> bytes:
    """Send packets for `destination` (None: everything) by way of a `gateway` or straight out of interface `index`."""
    try:
        network = ipaddress.ip_network(destination) if destination else None
        router = ipaddress.ip_address(gateway) if gateway else None
    except ValueError as error:
        raise InvalidOption(f"not a route: {error}") from error
    known = network or router
    if known is None:
        raise InvalidOption("a route needs a destination or a gateway")
    family = lib.AF_INET if known.version == 4 else lib.AF_INET6
    scope = lib.RT_SCOPE_UNIVERSE if router else lib.RT_SCOPE_LINK
    prefix = network.prefixlen if network else 0
    table, protocol, kind = lib.RT_TABLE_MAIN, lib.RTPROT_BOOT, lib.RTN_UNICAST
    body = _ROUTE.pack(family, prefix, 0, 0, table, protocol, scope, kind, 0)
    body += _attribute(lib.RTA_DST, network.network_address.packed) if network else b""
    body += _attribute(lib.RTA_GATEWAY, router.packed) if router else b""
    body += _attribute(lib.RTA_OIF, index) if index else b""
    return _request(lib.RTM_NEWROUTE, body, lib.NLM_F_CREATE | lib.NLM_F_EXCL)


def links_dump() -> bytes:
    """Ask for all interfaces; the answers are for `parse_links`."""
    return _message(lib.RTM_GETLINK, lib.NLM_F_DUMP, _LINK.pack(lib.AF_UNSPEC, 0, 0, 0, 0))


def addresses_dump() -> bytes:
    """Ask for all addresses; the answers are for `parse_addresses`."""
    return _message(lib.RTM_GETADDR, lib.NLM_F_DUMP, _ADDRESS.pack(lib.AF_UNSPEC, 0, 0, 0, 0))


# -- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface. `kind` is "" for hardware and the loopback; `peer` is the index of the other end of a
    veth."""

    index: int
    name: str
    up: bool
    mtu: int = 0
    master: int = 0
    peer: int = 0
    kind: str = ""
    mac: str = ""
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """An address of interface `index`, with its prefix: "10.0.0.2/24"."""

    index: int
    address: str


def parse_links(answers: bytes) -> tuple[Link, ...]:
    """The interfaces in the answers to `links_dump`. Raises ValueError where the bytes are cut short."""
    return tuple(_link(body) for kind, body in _messages(answers) if kind == lib.RTM_NEWLINK)


def _link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = dict(_attributes(body[_LINK.size :]))
    info = dict(_attributes(found.get(lib.IFLA_LINKINFO, b"")))
    counters = found.get(lib.IFLA_STATS64, b"")[: _STATS64.size].ljust(_STATS64.size, b"\0")
    names = ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped")
    return Link(
        index=index,
        name=_text(found.get(lib.IFLA_IFNAME, b"")),
        up=bool(flags & lib.IFF_UP),
        mtu=_number(found.get(lib.IFLA_MTU)),
        master=_number(found.get(lib.IFLA_MASTER)),
        peer=_number(found.get(lib.IFLA_LINK)),
        kind=_text(info.get(lib.IFLA_INFO_KIND, b"")),
        mac=found.get(lib.IFLA_ADDRESS, b"").hex(":"),
        **dict(zip(names, _STATS64.unpack(counters), strict=True)),
    )


def parse_addresses(answers: bytes) -> tuple[Address, ...]:
    """The addresses in the answers to `addresses_dump`."""
    result = []
    for kind, body in _messages(answers):
        if kind == lib.RTM_NEWADDR:
            _, prefix, _, _, index = _ADDRESS.unpack_from(body)
            found = dict(_attributes(body[_ADDRESS.size :]))
            packed = found.get(lib.IFA_LOCAL) or found[lib.IFA_ADDRESS]  # IPv6 has only the second
            result.append(Address(index, f"{ipaddress.ip_address(packed)}/{prefix}"))
    return tuple(result)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each message."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise ValueError("netlink: the answer is cut short")
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if not _HEADER.size <= length <= len(data) - at:
            raise ValueError("netlink: the answer is cut short")
        yield kind, data[at + _HEADER.size : at + length]
        at += length + -length % 4


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while len(data) - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if not _ATTRIBUTE.size <= length <= len(data) - at:
            raise ValueError("netlink: an attribute is cut short")
        yield kind & ~lib.NLA_F_NESTED, data[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _number(value: bytes | None) -> int:
    return struct.unpack("=I", value)[0] if value else 0


# -- the socket ------------------------------------------------------------------------------------------------------


class Netlink(Closing):
    """A socket to the network namespace in which it is made; it stays with that one, whoever uses it later."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)

    def close(self) -> None:
        """Close it; does nothing the second time."""
        self._socket.close()

    def request(self, requests: bytes) -> None:
        """Send requests, one or several, and wait until each is done. Raises KernelError for the first that is refused;
        those before it have been carried out, those behind it too."""
        waiting = sum(1 for _ in _messages(requests))
        self._socket.send(requests)
        refused: int = 0
        while waiting:
            for kind, body in _messages(self._socket.recv(1 << 16)):
                if kind == lib.NLMSG_ERROR:
                    refused = refused or -struct.unpack_from("=i", body)[0]
                    waiting -= 1
        if refused:
            raise KernelError(refused, "set up the network")

    def dump(self, request: bytes) -> bytes:
        """All answers to a dump, for `parse_links` or `parse_addresses`. Raises KernelError."""
        self._socket.send(request)
        answers: list[bytes] = []
        while True:
            data = self._socket.recv(1 << 20)
            for kind, body in _messages(data):
                if kind == lib.NLMSG_DONE:
                    return b"".join(answers)
                if kind == lib.NLMSG_ERROR:
                    raise KernelError(-struct.unpack_from("=i", body)[0], "list", "what the network has")
            answers.append(data)

    def links(self) -> tuple[Link, ...]:
        """The interfaces, with their traffic until now."""
        return parse_links(self.dump(links_dump()))

    def link(self, name: str) -> Link:
        """The interface of this name. Raises KernelError (ENODEV) where there is none."""
        for link in self.links():
            if link.name == name:
                return link
        raise KernelError(errno.ENODEV, "find the network interface", name)

    def addresses(self) -> tuple[Address, ...]:
        """The addresses of all interfaces."""
        return parse_addresses(self.dump(addresses_dump()))
