"""Containers in namespaces of another one: what they share, and what becomes of them when that one has gone."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.errors import Conflict, ContainerNotFound, InvalidOption

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]

KINDS = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts"}
"""The options that may name another container, and the kernel's files of these namespaces."""

OUTLIVED = ("network", "ipc", "uts")
"""A pid namespace ends with its first process, and so does every process in it."""

SLEEP = ["sleep", "infinity"]


def namespaces(container: Container) -> dict[str, str]:
    return {kind: os.readlink(f"/proc/{container.record.pid}/ns/{file}") for kind, file in KINDS.items()}


def shared(*containers: Container) -> set[str]:
    """The kinds of which all of them have the same one."""
    first, *others = (namespaces(each) for each in containers)
    return {kind for kind in KINDS if all(each[kind] == first[kind] for each in others)}


def says(container: Container, *command: str) -> str:
    result = container.exec(command)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def end(other: Container) -> None:
    other.stop(0)


def remove(other: Container) -> None:
    other.remove(force=True)


GOES = pytest.mark.parametrize("go", [end, remove])


@pytest.fixture
def other(containers: Containers, busybox_image: str) -> Container:
    names = {"name": "other", "hostname": "of-other", "domainname": "example"}
    return containers.run(busybox_image, ["sleep", "86400"], **names, ipc="shareable")


@pytest.fixture
def beside(containers: Containers, other: Container, busybox_image: str) -> Callable[..., Container]:
    """Starts a container in namespaces of `other`, of the kinds that are named."""

    def run(*kinds: str, command: list[str] = SLEEP, **options: Any) -> Container:
        return containers.run(busybox_image, command, **dict.fromkeys(kinds, "container:other"), **options)

    return run


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), tuple(KINDS)], ids="+".join)
def test_what_is_asked_for_is_shared_and_nothing_else(
    beside: Callable[..., Container], other: Container, kinds: tuple[str, ...]
) -> None:
    assert shared(other, beside(*kinds)) == set(kinds)


def test_a_run_that_is_not_kept(engine: Engine, other: Container, busybox_image: str) -> None:
    command = ["sh", "-c", "hostname; readlink /proc/self/ns/net"]
    result = engine.run(busybox_image, command, uts="container:other", network=f"container:{other.short_id}")
    assert result.stdout.split() == ["of-other", namespaces(other)["network"]]


def test_one_loopback(beside: Callable[..., Container], other: Container) -> None:
    beside("network", command=["nc", "-ll", "-p", "8000", "-e", "echo", "hello"])
    wait_until(lambda: other.exec(["nc", "127.0.0.1", "8000"]).stdout == "hello\n", "somebody listens")
    assert beside("ipc").exec(["nc", "127.0.0.1", "8000"]).exit_code == 1


def test_one_host_name(beside: Callable[..., Container], other: Container) -> None:
    one = beside("uts", cap_add=["SYS_ADMIN"])
    assert says(one, "hostname") == "of-other\n"
    assert one.exec(["hostname", "mine"]).exit_code == 1, "it is the other one's user namespace that owns the name"


def test_names_go_with_the_network(beside: Callable[..., Container], other: Container) -> None:
    """In a UTS namespace of its own, and in copies of the files as they are at its start: Docker has one for both."""
    says(other, "sh", "-c", "echo 10.0.0.1 mine >> /etc/hosts; echo nameserver 10.0.0.2 > /etc/resolv.conf")
    one, two = beside("network", cap_add=["SYS_ADMIN"]), beside("network", "uts")
    script = "hostname; echo $HOSTNAME; cat /etc/hostname /proc/sys/kernel/domainname /etc/hosts /etc/resolv.conf"
    read = ["sh", "-c", script]
    seen = says(other, *read)
    assert seen.startswith("of-other\n" * 3 + "example\n")
    assert seen.endswith("10.0.0.1 mine\nnameserver 10.0.0.2\n")
    assert (says(one, *read), says(two, *read)) == (seen, seen)
    says(one, "sh", "-c", "hostname mine; echo 10.0.0.3 > /etc/hosts")
    assert says(other, *read) == seen
    assert says(beside("pid", "ipc"), *read) != seen


def test_names_of_one_that_has_gone(beside: Callable[..., Container], other: Container) -> None:
    says(other, "sh", "-c", "echo 10.0.0.1 mine >> /etc/hosts")
    one = beside("network")
    before = one.trace("start")
    other.remove(force=True)
    assert says(one, "tail", "-n", "1", "/etc/hosts") == "10.0.0.1 mine\n"
    assert (says(one, "hostname"), one.trace("start")) == ("of-other\n", before)
    assert one.attrs["Config"]["Hostname"] == "of-other"  # type: ignore[index]


@pytest.mark.parametrize("content", [b"\0\xff words", b"x" * 300_000], ids=["no text", "long"])
def test_whatever_is_in_its_files(beside: Callable[..., Container], other: Container, content: bytes) -> None:
    assert other.exec(["sh", "-c", "cat > /etc/hosts"], input=content).exit_code == 0
    assert beside("network").exec(["cat", "/etc/hosts"]).stdout == content.decode("utf-8", "replace")


@pytest.mark.parametrize("made", ["ln -s SECRET", "ln -s /proc/1/root/SECRET", "mkfifo", "mkdir"])
def test_what_is_in_the_place_of_its_files(
    containers: Containers, busybox_image: str, tmp_path: Path, made: str
) -> None:
    """It does not lead to the machine, and nobody waits for it."""
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    script = f"mount -t tmpfs none /etc; {made.replace('SECRET', str(secret))} /etc/hosts; echo made; sleep infinity"
    other = containers.run(busybox_image, ["sh", "-c", script], name="other", pid="host", cap_add=["SYS_ADMIN"])
    wait_until(lambda: other.logs() == "made\n")
    one = containers.create(busybox_image, SLEEP, network="container:other")
    if made == "ln -s SECRET":
        assert "secret" not in says(one.start(), "cat", "/etc/hosts")
    else:
        with pytest.raises(InvalidOption, match="network: other's /etc/hosts"):
            one.start()


def test_processes_are_seen(beside: Callable[..., Container], other: Container) -> None:
    one, apart = beside("pid"), beside("network")
    assert says(one, "cat", "/proc/1/cmdline") == "sleep\x0086400\x00"
    assert "sleep infinity" in says(other, "ps")
    assert "86400" not in says(apart, "ps")


def test_all_processes_of_a_pid_namespace_end_with_its_first(
    beside: Callable[..., Container], other: Container
) -> None:
    one = beside("pid")
    other.stop(0)
    assert one.wait(10) == 137
    with pytest.raises(Conflict):
        one.start()


@GOES
def test_it_runs_on(beside: Callable[..., Container], other: Container, go: Callable[[Container], None]) -> None:
    one, two = beside(*OUTLIVED), beside(*OUTLIVED)
    go(other)
    assert (one.reload().status, says(one, "hostname")) == ("running", "of-other\n")
    assert shared(one, two) == set(OUTLIVED)


@GOES
def test_it_is_explained(beside: Callable[..., Container], other: Container, go: Callable[[Container], None]) -> None:
    """By the steps that it was started with."""
    one = beside(*OUTLIVED)
    before = one.trace("start")
    assert f"find the first process of {other.id}" in [row.what for row in before]
    go(other)
    assert one.trace("start") == before
    one.stop(0)
    assert one.trace("start") == before


@GOES
def test_its_files_are_there(
    beside: Callable[..., Container], other: Container, go: Callable[[Container], None]
) -> None:
    """Of one that does not run, whose root is mounted for this."""
    one = beside(*OUTLIVED, command=["sh", "-c", "echo words > /file"])
    assert one.wait(10) == 0
    go(other)
    assert one.stat("/file").size == len("words\n")
    chunks, _ = one.get_archive("/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        content = archive.extractfile("file")
        assert content is not None
        assert content.read() == b"words\n"


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_one_that_was_never_started(containers: Containers, busybox_image: str, kind: str) -> None:
    one = containers.create(busybox_image, SLEEP, **{kind: "container:nosuch"})
    assert one.stat("/etc/passwd").size
    assert one.trace() == ()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_not_started(containers: Containers, other: Container, busybox_image: str, kind: str) -> None:
    """Rather than in another namespace than was asked for."""
    one = containers.create(busybox_image, SLEEP, **{kind: "container:other"})
    other.pause()
    with pytest.raises(Conflict, match=rf"join the {kind} namespace of the container other: .*kernelbox unpause other"):
        one.start()
    other.unpause().stop(0)
    with pytest.raises(Conflict, match=rf"{kind} namespace of .* other: it is exited \(hint: kernelbox start other\)"):
        one.start()
    other.start()
    assert shared(one.start(), other) == {kind}
    one.stop(0)
    other.remove(force=True)
    with pytest.raises(ContainerNotFound, match="no such container: other"):
        one.start()
    assert one.reload().status == "exited"


def test_not_of_its_own(containers: Containers, busybox_image: str) -> None:
    one = containers.create(busybox_image, SLEEP, name="one", network="container:one")
    with pytest.raises(Conflict, match="the network namespace of the container one: it is created"):
        one.start()


def test_a_name_that_is_somebody_else_s_now(
    containers: Containers, beside: Callable[..., Container], other: Container, busybox_image: str
) -> None:
    """What it was started in is its own, whoever is called so."""
    one = beside("network")
    before = one.trace("start")
    other.rename("before")
    containers.run(busybox_image, SLEEP, name="other")
    assert one.trace("start") == before
