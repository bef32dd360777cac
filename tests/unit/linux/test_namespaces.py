from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.linux import namespaces
from kernelbox.linux.namespaces import KINDS, Namespace, NamespaceInfo, create, identify, list_all, of


def process(proc: Path, pid: int, command: str, net: int) -> None:
    folder = proc / str(pid) / "ns"
    folder.mkdir(parents=True)
    (proc / str(pid) / "comm").write_text(f"{command}\n")
    for kind in KINDS.values():
        (folder / kind.file).symlink_to(f"{kind.name}:[{net if kind.name == 'net' else 4026531836}]")


def test_list_all(tmp_path: Path) -> None:
    process(tmp_path, 1, "init", 10)
    process(tmp_path, 20, "a b", 20)
    process(tmp_path, 3, "x", 10)
    (tmp_path / "self").mkdir()
    (tmp_path / "77").mkdir()  # a process that has just ended
    listed = list_all(tmp_path)
    assert len(listed) == 9
    assert [info for info in listed if info.namespace.kind == "net"] == [
        NamespaceInfo(Namespace("net", 10), 2, 1, "init"),
        NamespaceInfo(Namespace("net", 20), 1, 20, "a b"),
    ]
    assert [info.namespace.kind for info in listed if info.pid == 1] == list(KINDS)


def test_this_process_is_in_all_kinds() -> None:
    with of("self") as mine:
        kinds = {space.kind for space in mine.identify()}
    assert {"user", "mnt", "pid", "net", "ipc", "uts"} <= kinds <= set(KINDS)


def test_what_is_not_a_namespace() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        with pytest.raises(InvalidOption, match="/dev/null is not a namespace"):
            identify(fd)
    finally:
        os.close(fd)


def test_unknown_kind() -> None:
    with pytest.raises(InvalidOption, match="unknown kind of namespace 'network'"):
        create("network")


@pytest.mark.parametrize("kind", ["pid", "time"])
def test_what_only_children_can_be_in(kind: str) -> None:
    with pytest.raises(InvalidOption, match="comes with its first process"):
        create("net", kind)


def test_kinds_in_the_words_of_the_specification() -> None:
    oci = {"user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time"}
    assert {kind.oci for kind in namespaces.KINDS.values()} == oci
