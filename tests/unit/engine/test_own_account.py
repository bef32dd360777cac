"""What `--userns keep-id` adds to an image's passwd and group."""

from __future__ import annotations

import pytest

from kernelbox.engine import own_account
from kernelbox.engine.image import Image
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.oci.image_config import ImageConfig

NOBODY_HAS_IT = 4_000_000_000
ROOT = b"root:x:0:0:root:/root:/bin/sh\n"


def added(passwd: bytes, group: bytes, uid: int, gid: int = 7, working_dir: str = "", **options: object) -> list[str]:
    """The lines that are there afterwards."""
    image = Image("x", ImageConfig(working_dir=working_dir), accounts=(passwd, group))
    machine = Machine(1, 1 << 30, frozenset({0}), uid=uid, gid=gid)
    made = own_account.accounts_of(image, RunOptions.make(**options), machine)
    before = len(passwd.splitlines()), len(group.splitlines())
    return [line for content, old in zip(made, before, strict=True) for line in content.decode().splitlines()[old:]]


def test_a_name_is_the_machines() -> None:
    assert added(ROOT, b"root:x:0:", 1, 1) == ["daemon:*:1:1:daemon:/:/bin/sh", "daemon:*:1:"]


def test_without_a_name_it_is_the_number() -> None:
    number = NOBODY_HAS_IT
    assert added(b"", b"", number, number) == [
        f"{number}:*:{number}:{number}:{number}:/:/bin/sh",
        f"{number}:*:{number}:",
    ]


def test_a_name_that_is_taken() -> None:
    assert added(b"daemon:x:9:9::/:/bin/sh\n", b"xdaemon:x:9:\ndaemon:x:8:", 1, 1) == ["1:*:1:1:1:/:/bin/sh", "1:*:1:"]


@pytest.mark.parametrize("line", [b"somebody:x:1:5::/home:/bin/sh", b"somebody:x:01:5::/home:/bin/sh"])
def test_an_id_that_has_an_entry(line: bytes) -> None:
    assert added(ROOT + line, b"some:x:7:", 1) == []


@pytest.mark.parametrize("line", [b"somebody:x:11:5::/home:/bin/sh", b"1:x:1x:5::/home:/bin/sh", b"half:x:1:5"])
def test_what_is_no_entry_of_that_id(line: bytes) -> None:
    assert len(added(ROOT + line, b"some:x:7:", 1)) == 1


@pytest.mark.parametrize(
    ("options", "working_dir", "home"),
    [
        ({}, "", "/"),
        ({}, "/srv", "/srv"),
        ({"workdir": "/work"}, "/srv", "/work"),
        ({"workdir": "/work", "volumes": ["/usr:/usr/sbin"]}, "", "/usr/sbin"),
        ({"workdir": "/work", "volumes": ["/usr:/usr/bin"]}, "", "/work"),
        ({"workdir": "/a:b"}, "", "/"),
        ({}, "relative", "/"),
    ],
)
def test_home(options: dict[str, object], working_dir: str, home: str) -> None:
    """The caller's own (daemon's is /usr/sbin) where it is mounted, else where the program begins."""
    (line,) = added(ROOT, b"some:x:7:", 1, working_dir=working_dir, **options)
    assert line == f"daemon:*:1:7:daemon:{home}:/bin/sh"
