"""What a container with a way out is told of name servers, and what root is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.engine import way_out
from kernelbox.errors import NotSupported


def test_name_servers_of_the_machine_that_can_be_reached(tmp_path: Path) -> None:
    first, second = tmp_path / "resolv.conf", tmp_path / "other"
    first.write_text("# a comment\nsearch example.org\nnameserver 127.0.0.53\nnameserver ::1\nnameserver what\n")
    missing = (tmp_path / "nowhere", first)
    assert way_out.name_servers("pasta", missing).startswith("# no name server")
    second.write_text("nameserver 192.0.2.53\nnameserver 127.0.0.1\nnameserver fe80::1%eth0\noptions edns0\n")
    said = "nameserver 192.0.2.53\nnameserver fe80::1%eth0\noptions edns0\n"
    assert way_out.name_servers("pasta", (first, second)) == said
    assert way_out.name_servers("slirp4netns", (first, second)) == "nameserver 10.0.2.3\n"


def test_root_and_other_networks() -> None:
    assert way_out.program("none", rootless=False) == way_out.program("host", rootless=True) == ()
    with pytest.raises(NotSupported, match="this is root"):
        way_out.program("pasta", rootless=False)
