"""Small decisions on the way from a configuration to a plan."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.linux.cgroups import Group
from kernelbox.native import lib
from kernelbox.oci import runtime_spec
from kernelbox.runtime.compile_inside import candidates
from kernelbox.runtime.namespaces import NETNS, Spaces, spaces_of
from kernelbox.runtime.setup import parent_slot, recovery_plans
from kernelbox.store.paths import StorePaths

ADMIN = 1 << lib.CAP_SYS_ADMIN
ID = "ab" * 32


def process(program: str, *environment: str) -> runtime_spec.Process:
    asked = {"args": [program], "cwd": "/", "env": environment, "user": {"uid": 0, "gid": 0}}
    made = runtime_spec.parse({"ociVersion": "1.2.0", "root": {"path": "r"}, "process": asked}).process
    assert made
    return made


@pytest.mark.parametrize(
    ("program", "environment", "found"),
    [
        ("/bin/true", ["PATH=/a"], ("/bin/true",)),
        ("./true", ["PATH=/a"], ("./true",)),
        ("true", ["PATH=/a:/b/:/"], ("/a/true", "/b/true", "/true")),
        ("true", ["XPATH=/x", "PATH=/a", "PATH=/b"], ("/a/true",)),
        ("true", ["PATH=::/a:"], ("/a/true",)),
        ("true", ["PATH="], ("/true",)),
    ],
)
def test_where_a_program_is_looked_for(program: str, environment: list[str], found: tuple[str, ...]) -> None:
    assert candidates(process(program, *environment)) == found


def test_where_a_program_is_looked_for_without_a_path() -> None:
    assert candidates(process("true"))[-1] == "/bin/true"


def spaces(*kinds: str | dict[str, str], held: int = 0, network: str = "", rootless: bool = False) -> Spaces:
    namespaces: list[Any] = [each if isinstance(each, dict) else {"type": each} for each in kinds]
    config = runtime_spec.parse({"ociVersion": "1.2.0", "root": {"path": "r"}, "linux": {"namespaces": namespaces}})
    return spaces_of(config, held, network=network, rootless=rootless)


def test_a_network_namespace_comes_from_the_pool() -> None:
    found = spaces("mount", "network")
    assert (found.pooled, found.fresh_network, found.joined) == (True, False, ((NETNS, lib.CLONE_NEWNET),))


def test_an_ordinary_users_network_namespace_is_new() -> None:
    found = spaces("mount", "network", rootless=True)
    assert (found.pooled, found.fresh_network, found.joined) == (False, True, ())


def test_a_network_namespace_that_was_made_before() -> None:
    found = spaces("mount", "network", network="given")
    assert (found.pooled, found.fresh_network, found.joined) == (False, False, (("given", lib.CLONE_NEWNET),))


def test_the_machines_network() -> None:
    found = spaces("mount")
    assert (found.pooled, found.fresh_network, found.joined) == (False, False, ())


def test_a_namespace_to_join() -> None:
    found = spaces("mount", {"type": "ipc", "path": "/proc/1/ns/ipc"})
    assert found.joined == (("ipc namespace", lib.CLONE_NEWIPC),)
    assert [step.describe() for step in found.opened] == ["open the namespace /proc/1/ns/ipc"]


@pytest.mark.parametrize("kind", ["pid", "user"])
def test_namespaces_that_cannot_be_joined(kind: str) -> None:
    with pytest.raises(NotSupported, match=f"joining an existing {kind} namespace"):
        spaces("mount", {"type": kind, "path": "/proc/1/ns/x"})


def test_a_mount_namespace_there_must_be() -> None:
    with pytest.raises(InvalidOption, match="no mount namespace"):
        spaces("pid")


def test_who_has_that_capability_owns_the_mounts() -> None:
    kinds = ("mount", "uts", "ipc", "pid")
    owned = lib.CLONE_NEWNS | lib.CLONE_NEWUTS | lib.CLONE_NEWIPC
    assert spaces(*kinds, "user", held=ADMIN).owned == owned
    assert spaces(*kinds, "user").owned == 0
    assert spaces(*kinds, held=ADMIN).owned == 0


def left_over(tmp_path: Path, names: list[str]) -> tuple[StorePaths, Group]:
    paths = replace(StorePaths.of(tmp_path / "store"), runtime=tmp_path / "run")
    group = Group(tmp_path / "groups" / paths.name, "v2")
    for parent in (paths.runs, paths.trash, group.path):
        for name in names:
            (parent / name).mkdir(parents=True)
    return paths, group


def test_what_a_killed_monitor_left(tmp_path: Path) -> None:
    """Only what has the name of a container, and only below groups of this store."""
    paths, group = left_over(tmp_path, [ID, "somebody-elses", ID[:40]])
    other = Group(tmp_path / "groups", "v1")
    (plan,) = recovery_plans(paths, [other, group])
    texts = plan.encode([], dict.fromkeys(("@runs", "@trash", parent_slot(str(group.path))), 128)).text
    assert ID.encode() in texts
    assert b"somebody" not in texts
    assert [type(step).__name__ for step in plan.steps].count("KillCgroup") == 2
    assert plan.describe().count("sweeper") == 4


def test_containers_that_are_kept_are_no_remains(tmp_path: Path) -> None:
    """Their folders stay; the groups of those that run stay too."""
    paths, group = left_over(tmp_path, [])
    running, ended = "a" * 64, "b" * 64
    for name in (running, ended):
        (paths.containers / name).mkdir(parents=True)
        (group.path / name).mkdir(parents=True)
    own = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (paths.containers / running / "running").write_text(f"{os.getpid()} {own} 0 {boot}\n")
    (plan,) = recovery_plans(paths, [group])
    texts = plan.encode([], {parent_slot(str(group.path)): 128}).text
    assert ended.encode() in texts
    assert running.encode() not in texts
    assert [type(step).__name__ for step in plan.steps] == ["KillCgroup", "RemoveCgroup"]


def test_nothing_was_left(tmp_path: Path) -> None:
    paths, group = left_over(tmp_path, [])
    assert [plan.steps for plan in recovery_plans(paths, [group])] == [()]


def test_a_thousand_containers_were_left(tmp_path: Path) -> None:
    """More than a monitor takes at a time."""
    names = [f"{number:064x}" for number in range(1000)]
    paths, group = left_over(tmp_path, names)
    plans = recovery_plans(paths, [group])
    assert sum(len(plan.steps) for plan in plans) == 4000
    shared = dict.fromkeys(("@runs", "@trash", parent_slot(str(group.path))), 128)
    assert max(sum(plan.encode([], shared).parts) for plan in plans) <= lib.KB_MAX_OPS
