"""The first process: arguments, environment, rights, and what the kernel would refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernelbox.engine import hardening
from kernelbox.engine.machine import Machine
from kernelbox.engine.users import ResolvedUser
from kernelbox.errors import InvalidOption
from kernelbox.oci import capability_names
from kernelbox.oci.image_config import ImageConfig

Build = Callable[..., Any]
APP = ResolvedUser(1000, 1001, (50, 44), "app", "/home/app")
GIB = 1 << 30
IMAGE = ImageConfig(env=("PATH=/usr/bin:/bin", "LANG=C.UTF-8"), cmd=("sh", "-l"), entrypoint=("/init",))


def test_capabilities_are_those_of_the_linux_package() -> None:
    capabilities = pytest.importorskip("kernelbox.linux.capabilities", reason="the C part is not built")
    assert capability_names.ALL == capabilities.ALL
    assert set(capability_names.DEFAULT) == set(capabilities.DEFAULT)


def test_another_user_has_rights_only_through_setuid_programs(build: Build) -> None:
    sets = build(as_user=APP, cap_add="NET_ADMIN").capabilities
    assert "CAP_NET_ADMIN" in sets.bounding
    assert (sets.effective, sets.permitted, sets.inheritable, sets.ambient) == ((), (), (), ())


@pytest.mark.parametrize(
    ("given", "count", "has", "has_not"),
    [
        ({"cap_add": "NET_RAW"}, 12, "CAP_NET_RAW", "CAP_SYS_ADMIN"),
        ({"cap_drop": "CHOWN"}, 10, "CAP_KILL", "CAP_CHOWN"),
        ({"cap_drop": "ALL", "cap_add": "CHOWN"}, 1, "CAP_CHOWN", "CAP_KILL"),
        ({"cap_add": "ALL", "cap_drop": "SYS_ADMIN"}, 40, "CAP_BPF", "CAP_SYS_ADMIN"),
        ({"privileged": True, "cap_drop": "CHOWN"}, 41, "CAP_CHOWN", ""),
    ],
)
def test_capabilities(build: Build, given: dict[str, Any], count: int, has: str, has_not: str) -> None:
    sets = build(**given).capabilities
    assert len(sets.bounding) == count
    assert has in sets.bounding
    assert has_not not in sets.bounding


@pytest.mark.parametrize(
    ("image", "given", "command", "args"),
    [
        (IMAGE, {}, (), ("/init", "sh", "-l")),
        (IMAGE, {}, ("true", "x"), ("/init", "true", "x")),
        (IMAGE, {"entrypoint": ["/bin/e"]}, (), ("/bin/e",)),
        (IMAGE, {"entrypoint": ["/bin/e"]}, ("a",), ("/bin/e", "a")),
        (IMAGE, {"entrypoint": ""}, ("a",), ("a",)),
        (ImageConfig(), {}, ("a", ""), ("a", "")),
    ],
)
def test_entry_point_and_command(
    build: Build, image: ImageConfig, given: dict[str, Any], command: tuple[str, ...], args: tuple[str, ...]
) -> None:
    assert build(command, image, **given).process.args == args


def test_environment_is_dockers(build: Build) -> None:
    built = build(env={"LANG": "C", "A": "1"}, tty=True)
    expected = ("PATH=/usr/bin:/bin", "HOSTNAME=0123456789ab", "TERM=xterm", "LANG=C", "A=1", "HOME=/root")
    assert built.process.env == expected
    bare = build(image=ImageConfig(env=("no value", "=x")), as_user=APP, env=["HOME=/elsewhere"]).process.env
    assert bare == ("PATH=" + hardening.PATH, "HOSTNAME=0123456789ab", "HOME=/elsewhere")


@pytest.mark.parametrize(("said", "cwd"), [("", "/"), ("/srv/", "/srv"), ("srv", "/srv"), ("/a//b/.", "/a/b")])
def test_working_directory_of_the_image(build: Build, said: str, cwd: str) -> None:
    assert build(image=ImageConfig(working_dir=said)).process.cwd == cwd
    assert build(image=ImageConfig(working_dir=said), workdir="/w").process.cwd == "/w"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"oom_score_adj": -1}, "oom_score_adj: -1 would keep the container alive longer than the engine itself"),
        ({"command": ("a", "b\0c")}, "command: 'b\\x00c' contains a NUL character"),
        ({"command": (), "image": ImageConfig()}, "no command to run"),
        ({"command": ("",), "image": ImageConfig()}, "no command to run"),
        (
            {"command": ("a", "b" * (128 << 10))},
            "the argument 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'... is 131072 bytes long",
        ),
        ({"env": ["A=" + "b" * (128 << 10)]}, "the variable 'A=bbbbbbbbbbbbbbbbbbbbbbbbbbbb'... is 131074 bytes long"),
        ({"command": ("b" * 1000,) * 2100}, "arguments and environment are 2119"),
        ({"command": ("a", "\ud800")}, "command: '\\ud800' contains half a character"),
        (
            {"image": ImageConfig(working_dir="/a/../../b", cmd=("a",))},
            "the image's working directory: '/a/../../b' contains",
        ),
        ({"as_user": ResolvedUser(65_536)}, "user: the user id 65536 is not among the container's ids (0 to 65535)"),
        ({"as_user": ResolvedUser(1, 1, (70_000,))}, "user: the group id 70000 is not among the container's ids"),
        (
            {"userns": "keep-id", "machine": Machine(1, GIB, frozenset({0}))},
            "userns: 'keep-id' keeps the id of an ordinary",
        ),
    ],
)
def test_what_this_machine_or_kernel_refuses(build: Build, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        build(**given)
    assert str(caught.value).startswith(message)


def test_long_arguments_that_the_kernel_takes(build: Build) -> None:
    longest = "b" * ((128 << 10) - 1)
    assert build((longest,)).process.args[1] == longest
    many = ("b" * 1000,) * 2000
    assert len(build(many).process.args) == 2001
    # the stack limit of the container is what counts
    assert build(("b" * 1000,) * 4000, ulimits="stack=-1").process.args
    with pytest.raises(InvalidOption, match="the kernel takes 131072 in all"):
        build(("b" * 1000,) * 140, ulimits="stack=65536")
