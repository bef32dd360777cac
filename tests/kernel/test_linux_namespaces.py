"""Real namespaces, user namespaces with their maps, and network interfaces in them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kernelbox.errors import KernelError
from kernelbox.linux import idmap, namespaces, netlink
from kernelbox.linux.features import probe
from kernelbox.linux.idmap import IdRange

pytestmark = [pytest.mark.kernel, pytest.mark.root]

RANGES = [IdRange(0, 700_000, 65_536)]


@pytest.mark.parametrize("kind", ["user", "mnt", "net", "ipc", "uts", "cgroup"])
def test_each_kind_alone(kind: str) -> None:
    with namespaces.of("self") as mine, namespaces.create(kind) as made:
        (space,) = made.identify()
        assert space.kind == kind
        assert space not in mine.identify()


def test_all_at_once_belong_to_the_user_namespace() -> None:
    kinds = ("user", "mnt", "net", "ipc", "uts", "cgroup")
    with namespaces.create(*kinds, uid_map=RANGES, gid_map=RANGES) as made:
        assert [space.kind for space in made.identify()] == list(kinds)
        fds = [f"/proc/self/fd/{made[kind].fileno()}" for kind in ("user", "uts")]
        command = [
            "nsenter",
            f"--user={fds[0]}",
            f"--uts={fds[1]}",
            "sh",
            "-c",
            "hostname inside; cat /proc/self/uid_map",
        ]
        keep = [made["user"].fileno(), made["uts"].fileno()]
        done = subprocess.run(command, pass_fds=keep, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["0", "700000", "65536"]
    assert socket.gethostname() != "inside"


def own(*kinds: str) -> list[str]:
    """The namespaces that this thread is in."""
    return [os.readlink(f"/proc/thread-self/ns/{kind}") for kind in kinds]


def test_entered_and_back() -> None:
    name, links, before = socket.gethostname(), socket.if_nameindex(), own("uts", "net")
    with namespaces.create("uts", "net") as made:
        there = [os.readlink(f"/proc/self/fd/{made[kind].fileno()}") for kind in ("uts", "net")]
        with made.entered("uts", "net"):
            socket.sethostname("inside")
            assert [link for _, link in socket.if_nameindex()] == ["lo"]
            assert own("uts", "net") == there
        assert (socket.gethostname(), socket.if_nameindex(), own("uts", "net")) == (name, links, before)
    assert not set(there) & set(before)


def test_listed_while_a_process_is_inside() -> None:
    process = subprocess.Popen(["unshare", "--uts", "sh", "-c", "echo; read -r _"], stdin=-1, stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    with namespaces.of(process.pid) as theirs:
        (uts,) = (space for space in theirs.identify() if space.kind == "uts")
    (info,) = (info for info in namespaces.list_all() if info.namespace == uts)
    assert (info.processes, info.pid) == (1, process.pid)
    process.communicate(b"\n", timeout=60)
    assert uts not in [info.namespace for info in namespaces.list_all()]


def test_a_user_namespace_with_maps() -> None:
    with idmap.userns(RANGES, RANGES) as space:
        command = ["nsenter", f"--user=/proc/self/fd/{space.fileno()}", "cat", "/proc/self/uid_map"]
        done = subprocess.run(command, pass_fds=[space.fileno()], capture_output=True, text=True, check=True)
        assert idmap.parse(done.stdout) == tuple(RANGES)


def test_an_ordinary_user_maps_themselves() -> None:
    code = """
import os
from kernelbox.errors import NotSupported
from kernelbox.linux import idmap
from kernelbox.linux.idmap import IdRange
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with idmap.userns([IdRange(0, 65534, 1)], [IdRange(0, 65534, 1)]) as space: print("made")
except NotSupported: print("not allowed")
try: idmap.userns([IdRange(0, 700000, 2)], [IdRange(0, 700000, 2)])
except NotSupported as error: print(error.hint is not None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[0] in ("made", "not allowed")
    assert done.stdout.split("\n")[1] == "True"


def test_probe_is_complete_and_repeatable() -> None:
    assert probe() is probe()
    assert probe().privileged == (Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"])
    assert probe().user_namespaces


# -- networks --------------------------------------------------------------------------------------------------------


def test_loopback_up() -> None:
    with namespaces.create("net") as made, made.entered("net"), netlink.Netlink() as link:
        assert not link.link("lo").up
        link.request(netlink.link_up(1))
        assert link.link("lo").up
        assert netlink.Address(1, "127.0.0.1/8") in link.addresses()


def test_a_pair_between_two_namespaces_carries_packets() -> None:
    with namespaces.create("net") as here, namespaces.create("net") as there:
        with here.entered("net"), netlink.Netlink() as link:
            link.request(netlink.bridge("br0") + netlink.link_up_by_name("br0"))
            master = link.link("br0").index
            fd = there["net"].fileno()
            pair_up = netlink.veth("v1", "eth0", peer_netns=fd, peer_index=2, master=master, group=77, up=True)
            link.request(pair_up + netlink.add_address(master, "10.9.0.1/24"))
            pair = link.link("v1")
            assert (pair.kind, pair.master, pair.peer, pair.up) == ("veth", master, 2, True)
            server = socket.create_server(("10.9.0.1", 0))
        with there.entered("net"), netlink.Netlink() as link, server:
            link.request(
                netlink.link_up(1)
                + netlink.link_up(2)
                + netlink.add_address(2, "10.9.0.2/24")
                + netlink.add_route(gateway="10.9.0.1", index=2)
            )
            assert netlink.Address(2, "10.9.0.2/24") in link.addresses()
            with socket.create_connection(server.getsockname(), timeout=30) as client, server.accept()[0] as accepted:
                client.sendall(b"x" * 1000)
                assert accepted.recv(1)
            eth0 = link.link("eth0")
            assert eth0.tx_bytes >= 1000
            assert eth0.mac.count(":") == 5
        with here.entered("net"), netlink.Netlink() as link:
            link.request(netlink.delete_link(group=77))
            assert [each.name for each in link.links()] == ["lo", "br0"]


def test_a_refused_request_is_an_error() -> None:
    with namespaces.create("net") as made, made.entered("net"), netlink.Netlink() as link:
        with pytest.raises(KernelError, match="could not set up the network: file exists"):
            link.request(netlink.bridge("br0") + netlink.bridge("br0"))
        with pytest.raises(KernelError, match="could not set up the network: no such device"):
            link.request(netlink.link_up(99))
        with pytest.raises(KernelError, match="find the network interface nosuch"):
            link.link("nosuch")
        link.request(netlink.delete_link(name="br0"))


def test_descriptors_are_given_back() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with namespaces.create("net", "uts", "ipc"), namespaces.of("self"):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
