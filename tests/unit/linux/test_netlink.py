"""Messages against bytes written down by hand from rtnetlink(7), and answers as a kernel gives them."""

from __future__ import annotations

import struct

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.linux import netlink
from kernelbox.linux.netlink import Address, Link

ACK = 0x0001 | 0x0004  # NLM_F_REQUEST | NLM_F_ACK


def split(message: bytes) -> tuple[int, int, bytes]:
    length, kind, flags, sequence, port = struct.unpack_from("=IHHII", message)
    assert (length, sequence, port) == (len(message), 0, 0)
    return kind, flags, message[16:]


def attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        length, kind = struct.unpack_from("=HH", data)
        found[kind] = data[4:length]
        data = data[length + -length % 4 :]
    return found


def test_link_up_byte_for_byte() -> None:
    assert netlink.link_up(1) == bytes.fromhex(
        "20000000 1000 0500 00000000 00000000 00 00 0000 01000000 01000000 01000000"
    )


def test_link_down() -> None:
    kind, flags, body = split(netlink.link_down(7))
    assert (kind, flags) == (16, ACK)
    assert struct.unpack("=BxHiII", body) == (0, 0, 7, 0, 1)


def test_veth_has_its_peer_inside() -> None:
    message = netlink.veth("v1", "eth0", peer_netns=9, peer_index=2, master=5, mtu=1400, group=77, up=True)
    kind, flags, body = split(message)
    assert (kind, flags) == (16, ACK | 0x200 | 0x400)  # NLM_F_EXCL | NLM_F_CREATE
    assert struct.unpack("=BxHiII", body[:16]) == (0, 0, 0, 1, 1)
    outer = attributes(body[16:])
    assert outer[3] == b"v1\0"
    assert outer[10] == struct.pack("=I", 5)
    assert outer[27] == struct.pack("=I", 77)
    info = attributes(outer[18])
    assert info[1] == b"veth\0"
    peer = attributes(info[2])[1]
    assert struct.unpack("=BxHiII", peer[:16]) == (0, 0, 2, 0, 0)
    inner = attributes(peer[16:])
    assert inner[3] == b"eth0\0"
    assert inner[28] == struct.pack("=I", 9)
    assert inner[4] == outer[4] == struct.pack("=I", 1400)


def test_address() -> None:
    kind, _, body = split(netlink.add_address(3, "10.88.0.2/16"))
    assert kind == 20
    assert struct.unpack("=BBBBI", body[:8]) == (2, 16, 0, 0, 3)
    assert attributes(body[8:]) == {2: bytes([10, 88, 0, 2]), 1: bytes([10, 88, 0, 2])}
    kind, _, body = split(netlink.delete_address(3, "fd00::1/64"))
    assert kind == 21
    assert body[:2] == bytes([10, 64])


def test_default_route() -> None:
    kind, _, body = split(netlink.add_route(gateway="10.88.0.1", index=3))
    assert kind == 24
    assert struct.unpack("=BBBBBBBBI", body[:12]) == (2, 0, 0, 0, 254, 3, 0, 1, 0)
    assert attributes(body[12:]) == {5: bytes([10, 88, 0, 1]), 4: struct.pack("=I", 3)}


def test_route_to_a_network() -> None:
    _, _, body = split(netlink.add_route(destination="192.0.2.0/24", index=3))
    assert struct.unpack("=BBBBBBBBI", body[:12]) == (2, 24, 0, 0, 254, 3, 253, 1, 0)


def test_many_links_are_deleted_by_group() -> None:
    kind, flags, body = split(netlink.delete_link(group=77))
    assert (kind, flags) == (17, ACK)
    assert attributes(body[16:]) == {27: struct.pack("=I", 77)}


def answer(index: int, flags: int, *parts: bytes) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, flags, 0) + b"".join(parts)
    return struct.pack("=IHHII", 16 + len(body), 16, 2, 0, 0) + body


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def test_parse_links() -> None:
    counters = struct.pack("=24Q", 1, 2, 3, 4, 5, 6, 7, 8, *range(16))
    info = attribute(1, b"veth\0")
    answers = answer(1, 0x49, attribute(3, b"lo\0")) + answer(
        7,
        0x1042,
        attribute(3, b"v1\0"),
        attribute(4, struct.pack("=I", 1500)),
        attribute(5, struct.pack("=I", 2)),
        attribute(10, struct.pack("=I", 5)),
        attribute(1, bytes.fromhex("0242ac110002")),
        attribute(18 | 0x8000, info),
        attribute(23, counters),
    )
    lo, veth = netlink.parse_links(answers)
    assert lo == Link(1, "lo", True)
    assert veth == Link(7, "v1", False, 1500, 5, 2, "veth", "02:42:ac:11:00:02", 1, 2, 3, 4, 5, 6, 7, 8)


def test_parse_addresses() -> None:
    body = struct.pack("=BBBBI", 10, 64, 0, 253, 2) + attribute(1, bytes(15) + b"\x01")
    message = struct.pack("=IHHII", 16 + len(body), 20, 2, 0, 0) + body
    assert netlink.parse_addresses(message) == (Address(2, "::1/64"),)


@pytest.mark.parametrize("cut", [3, 15, 17, 30, 37])
def test_answers_cut_short(cut: int) -> None:
    with pytest.raises((ValueError, struct.error)):
        netlink.parse_links(answer(1, 0, attribute(3, b"lo\0"))[:cut])


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "a/b", "a b", ".", "..", "a:1", "n\0"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidOption, match="cannot be the name"):
        netlink.bridge(name)


@pytest.mark.parametrize("address", ["", "10.0.0.300/24", "10.0.0.1/33", "localhost"])
def test_addresses_that_cannot_be(address: str) -> None:
    with pytest.raises(InvalidOption, match="is not an address"):
        netlink.add_address(1, address)


def test_a_route_to_nowhere() -> None:
    with pytest.raises(InvalidOption, match="needs a destination or a gateway"):
        netlink.add_route(index=1)
    with pytest.raises(InvalidOption, match="not a route"):
        netlink.add_route(gateway="here")
